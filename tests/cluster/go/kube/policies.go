package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const serviceRange = "198.19.0.0/16"

// Enforces NetworkPolicy on this node with kube-router's controller (iptables and ipset);
// its router and its service proxy stay out, kube-proxy and plain routes do that.
func enforcePolicies(ctx context.Context, node node) error {
	config := options.NewKubeRouterConfig()
	config.EnableIPv4 = true
	config.ClusterIPCIDRs = []string{serviceRange}
	config.HostnameOverride = node.name
	// Rules are written at each event; once a minute they are compared with the policies anew.
	config.IPTablesSyncPeriod = time.Minute

	factory := informers.NewSharedInformerFactory(node.client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	factory.Start(ctx.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return errors.New("the API server did not list pods, namespaces and policies")
		}
	}

	tables, sets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return err
	}
	controller, err := netpol.NewNetworkPolicyController(
		node.client, config, pods, policies, namespaces, &sync.Mutex{}, tables, sets)
	if err != nil {
		return err
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods:       controller.PodEventHandler,
		namespaces: controller.NamespaceEventHandler,
		policies:   controller.NetworkPolicyEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	heartbeats := make(chan *healthcheck.ControllerHeartbeat, 1)
	go func() {
		for range heartbeats { // nobody asks for them here; a full channel would stop the controller
		}
	}()
	var group sync.WaitGroup
	group.Add(1)
	controller.Run(heartbeats, ctx.Done(), &group)
	group.Wait()
	return nil
}
