//! Programs to copy from; each file beside this one is an example.
