"""The kernels behind the operator: one module or package for each backend, and the choice among them."""
