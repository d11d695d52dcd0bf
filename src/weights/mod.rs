//! Reading the tensors that a graph needs, and no others.
