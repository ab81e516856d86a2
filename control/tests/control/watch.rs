//! The watch on a real directory. Nothing sleeps: each step waits for a batch, for a bounded time.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use weir_control::watch::{Batch, Contents, Directory};

async fn next(directory: &mut Directory) -> Batch {
    let batch = tokio::time::timeout(Duration::from_secs(10), directory.next()).await;
    batch.expect("a batch within ten seconds").expect("inotify works")
}

fn summary(batch: &Batch) -> Vec<(String, String)> {
    let show = |contents: &Contents| match contents {
        Contents::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Contents::Gone => "gone".into(),
        Contents::Unreadable(_) => "unreadable".into(),
    };
    batch.files.iter().map(|(name, contents)| (name.clone(), show(contents))).collect()
}

fn row(name: &str, contents: &str) -> (String, String) {
    (name.into(), contents.into())
}

async fn opened(path: &Path) -> Directory {
    let mut directory = Directory::open(path).expect("watched");
    assert!(next(&mut directory).await.complete, "the first batch is the whole directory");
    directory
}

#[tokio::test]
async fn what_settles_is_reported_and_nothing_else() {
    let temporary = tempfile::tempdir().expect("a directory");
    let at = |name: &str| temporary.path().join(name);
    fs::write(at("a.yaml"), "1").expect("written");
    fs::write(at("a.yaml~"), "1").expect("written");
    fs::create_dir(at("d.yaml")).expect("made");
    let mut directory = Directory::open(temporary.path()).expect("watched");
    let first = next(&mut directory).await;
    assert_eq!((first.complete, summary(&first)), (true, vec![row("a.yaml", "1"), row("d.yaml", "unreadable")]));

    // Still open for writing: not read, though another file is.
    let mut open = File::create(at("open.yaml")).expect("created");
    open.write_all(b"half").expect("written");
    fs::write(at("b.yaml"), "2").expect("written");
    fs::write(at(".b.yaml.swp"), "2").expect("written");
    let batch = next(&mut directory).await;
    assert_eq!((batch.complete, summary(&batch)), (false, vec![row("b.yaml", "2")]));
    open.write_all(b" whole").expect("written");
    drop(open);
    assert_eq!(summary(&next(&mut directory).await), [row("open.yaml", "half whole")]);

    // An editor's save: the new file is renamed over the old one.
    fs::write(at("a.yaml.tmp"), "3").expect("written");
    fs::rename(at("a.yaml.tmp"), at("a.yaml")).expect("renamed");
    assert_eq!(summary(&next(&mut directory).await), [row("a.yaml", "3")]);
    fs::rename(at("a.yaml"), at("c.yaml")).expect("renamed");
    fs::remove_file(at("b.yaml")).expect("removed");
    assert_eq!(
        summary(&next(&mut directory).await),
        [row("a.yaml", "gone"), row("b.yaml", "gone"), row("c.yaml", "3")]
    );
    symlink("c.yaml", at("e.yaml")).expect("linked");
    assert_eq!(summary(&next(&mut directory).await), [row("e.yaml", "3")]);
}

#[tokio::test]
async fn an_edit_is_reported_at_once() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut directory = opened(temporary.path()).await;
    let mut delays = Vec::new();
    for round in 0..20 {
        fs::write(temporary.path().join("a.yaml"), round.to_string()).expect("written");
        let closed = Instant::now();
        assert_eq!(summary(&next(&mut directory).await), [row("a.yaml", &round.to_string())]);
        delays.push(closed.elapsed());
    }
    delays.sort();
    // The median, so that one hiccup of a busy machine does not fail the test.
    assert!(delays[10] < Duration::from_millis(50), "{delays:?}");
}

#[tokio::test]
async fn a_config_map_swap_is_a_rescan() {
    let temporary = tempfile::tempdir().expect("a directory");
    let at = |name: &str| temporary.path().join(name);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).expect("made");
        fs::write(at(name).join("policy.yaml"), text).expect("written");
    };
    version("..1", "old");
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/policy.yaml", at("policy.yaml")).expect("linked");
    let mut directory = Directory::open(temporary.path()).expect("watched");
    assert_eq!(summary(&next(&mut directory).await), [row("policy.yaml", "old")]);
    version("..2", "new");
    symlink("..2", at("..data_tmp")).expect("linked");
    fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
    fs::remove_dir_all(at("..1")).expect("removed");
    let batch = next(&mut directory).await;
    assert_eq!((batch.complete, summary(&batch)), (true, vec![row("policy.yaml", "new")]));
}

#[tokio::test]
async fn a_directory_that_goes_is_kept_in_mind_and_found_again() {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = temporary.path().join("manifests");
    for moved_away in [false, true] {
        fs::create_dir(&path).expect("made");
        let mut directory = opened(&path).await;
        if moved_away {
            fs::rename(&path, temporary.path().join("elsewhere")).expect("moved");
        } else {
            fs::remove_dir(&path).expect("removed");
        }
        let lost = next(&mut directory).await;
        assert!(!lost.complete && lost.files.is_empty() && lost.unavailable.is_some(), "{lost:?}");
        if moved_away {
            // What happens where the directory is now is not what happens here.
            fs::write(temporary.path().join("elsewhere/a.yaml"), "1").expect("written");
            let nothing = tokio::time::timeout(Duration::from_millis(50), directory.next()).await;
            assert!(nothing.is_err(), "{nothing:?}");
        }
        fs::create_dir(&path).expect("made again");
        let mut back = next(&mut directory).await;
        assert!(back.complete && back.unavailable.is_none(), "{back:?}");
        fs::write(path.join("a.yaml"), "1").expect("written");
        while back.files.is_empty() {
            back = next(&mut directory).await;
        }
        assert_eq!(summary(&back), [row("a.yaml", "1")]);
        fs::remove_dir_all(&path).expect("removed");
    }
}

#[tokio::test]
async fn a_lost_event_is_a_rescan() {
    let temporary = tempfile::tempdir().expect("a directory");
    let at = |name: &str| temporary.path().join(name);
    fs::write(at(".1"), "").expect("written");
    let mut directory = opened(temporary.path()).await;
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .expect("the sysctl")
        .trim()
        .parse()
        .expect("a number");
    for _ in 0..queue / 4 + 1 {
        fs::rename(at(".1"), at(".2")).expect("renamed");
        fs::rename(at(".2"), at(".1")).expect("renamed");
    }
    fs::write(at("a.yaml"), "1").expect("written");
    loop {
        let batch = next(&mut directory).await;
        if batch.complete {
            return assert_eq!(summary(&batch), [row("a.yaml", "1")]);
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_an_error() {
    let temporary = tempfile::tempdir().expect("a directory");
    let error = Directory::open(&temporary.path().join("none")).err().expect("an error").to_string();
    assert!(error.contains("none") && error.contains("existing directory"), "{error}");
}
