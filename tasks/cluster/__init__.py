"""What a run on Kubernetes needs: plain code, called by the steps of the flow."""
