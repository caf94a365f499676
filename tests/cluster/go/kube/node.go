package main

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// What a program of the node's own needs: an API client and the node it works for.
type node struct {
	name   string
	client kubernetes.Interface
}

func nodeCommand(name string, run func(context.Context, node) error) *cobra.Command {
	var kubeconfig, nodeName string
	command := &cobra.Command{
		Use:          name,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			return run(command.Context(), node{nodeName, client})
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&nodeName, "node", "", "the node this runs on")
	return command
}
