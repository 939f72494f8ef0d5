"""`./dev peers`: cilium/ebpf's own test suites on five kernels, and whether each failure is one that is explained.

What comes in is the module as the Go proxy has it, pinned by its checksum; what goes out is a grid of package and kernel.
"""
