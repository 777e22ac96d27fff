"""The C++ kernel for CPUs."""
