"""The backends of the operator, one module or package each, and the choice between them."""
