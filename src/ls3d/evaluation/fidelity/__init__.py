"""Protocols that compare frames with the true ones: data sets, published scores, frames scored."""
