"""The four published networks: C-GCN, pair network, LCENet and PCENet."""
