//! The repr(C) keys, values and verdict codes that kernel and user side share; nothing is typed twice.
