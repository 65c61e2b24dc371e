use super::*;

const ID: &str = "sha256:1";

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(dir.path());
    (dir, ledger)
}

fn files(dir: &Path, kind: &str) -> usize {
    let dir = std::fs::read_dir(dir.join("image_manager").join(kind));
    dir.map_or(0, |entries| entries.count())
}

#[test]
fn a_pull_leaves_a_record() {
    let (dir, ledger) = ledger();
    assert_eq!(ledger.look("app:1", ID), Known::default());
    ledger.begin("app:1").unwrap();
    ledger.begin("app:1").unwrap();
    assert!(ledger.look("app:1", ID).ours, "while it is pulled");
    ledger.end("app:1", None).unwrap();
    assert_eq!(files(dir.path(), "pulling"), 1, "somebody else still pulls");
    ledger.end("app:1", Some((ID, &Proofs::of(None)))).unwrap();
    assert_eq!(
        (files(dir.path(), "pulling"), files(dir.path(), "pulled")),
        (0, 1)
    );
    let known = Ledger::new(dir.path()).look("app:1", ID);
    assert!(known.ours && known.record.unwrap().proofs("app:2").unwrap().for_all());
}

#[test]
fn a_failed_pull_leaves_nothing() {
    let (dir, ledger) = ledger();
    ledger.begin("app:1").unwrap();
    ledger.end("app:1", None).unwrap();
    assert_eq!(
        (files(dir.path(), "pulling"), files(dir.path(), "pulled")),
        (0, 0)
    );
    assert!(!ledger.look("app:1", ID).ours);
}

#[test]
fn a_pull_that_was_cut_off_is_ours_and_nobodys() {
    let (dir, ledger) = ledger();
    ledger.begin("docker.io/library/app:1").unwrap();
    ledger.begin("gone:1").unwrap();
    let after = Ledger::new(dir.path());
    assert!(after.look("docker.io/library/app:1", ID).ours);
    let image = v1::Image {
        id: ID.into(),
        repo_tags: vec!["docker.io/library/app:1".into()],
        ..Default::default()
    };
    after.adopt(&after.left_over(), &[image]);
    let known = after.look("docker.io/library/app:1", ID);
    assert!(
        known.ours
            && known
                .record
                .unwrap()
                .proofs("docker.io/library/app")
                .is_none_or(Proofs::is_empty)
    );
    assert_eq!(after.left_over(), ["gone:1".into()]);
}

#[test]
fn a_record_that_cannot_be_read_proves_nothing() {
    let (dir, ledger) = ledger();
    ledger.begin("app:1").unwrap();
    ledger.end("app:1", Some((ID, &Proofs::of(None)))).unwrap();
    let file = dir.path().join("image_manager/pulled").join(file_name(ID));
    std::fs::write(file, "{").unwrap();
    let known = ledger.look("app:1", ID);
    assert_eq!(
        known,
        Known {
            ours: true,
            record: None
        }
    );
    ledger.learn("app:1", ID, &Proofs::of(None)).unwrap();
    assert!(
        ledger.look("app:1", ID).record.is_some(),
        "the next pull repairs it"
    );
}

#[test]
fn records_go_with_their_images() {
    let (dir, ledger) = ledger();
    for id in ["sha256:1", "sha256:2"] {
        ledger.learn("app:1", id, &Proofs::of(None)).unwrap();
    }
    ledger.prune(&BTreeSet::new(), Timestamp::UNIX_EPOCH);
    assert_eq!(files(dir.path(), "pulled"), 2, "they have come since");
    ledger.prune(&BTreeSet::from(["sha256:2".to_owned()]), Timestamp::MAX);
    assert_eq!(files(dir.path(), "pulled"), 1);
    assert!(ledger.look("app:1", "sha256:2").record.is_some());
}
