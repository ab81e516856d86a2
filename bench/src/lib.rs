//! Measures weir beside its peers, in one run.
