"""What Isthmus costs and carries beside other VPNs: `make bench`. docs/performance.md explains."""
