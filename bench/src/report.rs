//! The table for people and the file for machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

/// What `target/bench/<name>.json` holds.
#[derive(Debug, Serialize)]
struct Report<'a, Row> {
    commit: String,
    kernel: String,
    cpus: usize,
    rows: &'a [Row],
}

/// Writes the rows to `<folder>/<name>.json`, with what they were measured on.
pub(crate) fn write<Row: Serialize>(folder: &Path, name: &str, rows: &[Row]) -> Result<PathBuf> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's release")?;
    let cpus = std::thread::available_parallelism().context("count the CPUs")?.get();
    let report = Report { commit: commit(), kernel: kernel.trim().to_owned(), cpus, rows };
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// The commit that is checked out, with `-dirty` if the tree differs from it.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12", "--match="]).output();
    let text = output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}

/// Prints a table: the first column to the left, numbers to the right.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let all = || rows.iter().map(|row| row.each_ref().map(String::as_str)).chain([head]);
    let width = |i: usize| all().map(|row| row[i].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let cells = cells.iter().enumerate().map(|(i, cell)| match i {
            0 => format!("{cell:<w$}", w = widths[i]),
            _ => format!("{cell:>w$}", w = widths[i]),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    };
    line(head);
    for row in rows {
        line(std::array::from_fn(|i| row[i].as_str()));
    }
}

/// One line that compares a figure with its bar; a bench never fails for it.
pub(crate) fn bar(what: &str, value: f64, at_most: f64, unit: &str) {
    let verdict = if value <= at_most { "met" } else { "missed" };
    println!("{what}: {value:.2}{unit} (bar: at most {at_most:.2}{unit}): {verdict}");
}
