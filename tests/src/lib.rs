//! Suites by need: direct, netns, kernel.
