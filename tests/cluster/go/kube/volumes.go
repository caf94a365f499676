package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	provisionerName = "gomr.test/node-volumes"
	selectedNode    = "volume.kubernetes.io/selected-node"
	volumesFolder   = "/var/local-volumes"
)

// Makes a folder of this node a volume when the scheduler has chosen the node for the claim's
// first pod, and removes the folder with the claim.
func provideVolumes(ctx context.Context, node node) error {
	provisioner := controller.NewProvisionController(
		ctx, node.client, provisionerName, &volumes{node.name}, controller.LeaderElection(false))
	provisioner.Run(ctx)
	return nil
}

type volumes struct {
	node string
}

func (v *volumes) ShouldProvision(_ context.Context, claim *core.PersistentVolumeClaim) bool {
	return claim.Annotations[selectedNode] == v.node
}

func (v *volumes) ShouldDelete(_ context.Context, volume *core.PersistentVolume) bool {
	return volume.Annotations[selectedNode] == v.node
}

func (v *volumes) Provision(
	_ context.Context, options controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(volumesFolder, options.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// Past the umask: a pod that is not root and sets no fsGroup writes here too.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	klog.InfoS("made a volume", "folder", path, "claim", klog.KObj(options.PVC))
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name:        options.PVName,
			Annotations: map[string]string{selectedNode: v.node},
		},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity: core.ResourceList{
				core.ResourceStorage: options.PVC.Spec.Resources.Requests[core.ResourceStorage],
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				Local: &core.LocalVolumeSource{Path: path},
			},
			NodeAffinity: onlyOn(v.node),
		},
	}, controller.ProvisioningFinished, nil
}

func (v *volumes) Delete(_ context.Context, volume *core.PersistentVolume) error {
	path := volume.Spec.Local.Path
	if filepath.Dir(path) != volumesFolder {
		return fmt.Errorf("%s is not a folder of %s", path, volumesFolder)
	}
	return os.RemoveAll(path)
}

func onlyOn(node string) *core.VolumeNodeAffinity {
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{
		NodeSelectorTerms: []core.NodeSelectorTerm{{
			MatchExpressions: []core.NodeSelectorRequirement{{
				Key:      core.LabelHostname,
				Operator: core.NodeSelectorOpIn,
				Values:   []string{node},
			}},
		}},
	}}
}
