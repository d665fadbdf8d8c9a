//! What a program that was built without Kafka says when it is asked for a queue.

use std::process::Command;

#[test]
fn a_program_without_kafka_says_what_it_lacks_for_a_queue() {
    let out = tempfile::tempdir().unwrap();
    for words in [&["grade", "m1", "fixtures/services/good"][..], &["worker"]] {
        let done = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["--course", "fixtures/course"])
            .args(words)
            .args(["--queue", "kafka://127.0.0.1:9/grading", "--out"])
            .arg(out.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert!(told.contains("built without its feature `kafka`"), "{told}");
    }
}
