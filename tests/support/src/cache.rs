//! Where `scripts/setup` puts what is built once and is no Debian package.

use std::{env, path::PathBuf};

/// weir's cache folder, as `scripts/setup` chooses it.
pub fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("WEIR_CACHE").unwrap_or_else(|| {
        let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        base.unwrap_or_else(|| "/var/cache".into()).join("weir")
    })
}
