//! Real Apache Kafka: the producer goes on after a kill, and every client reads what it published.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::stream::{At, KafkaSettings, Page, Publisher, Reader, TopicName};

/// A node for the life of a test; none where this machine has no Java or Maven.
pub(crate) struct Node {
    dir: tempfile::TempDir,
    server: String,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kafka/node.sh")
}

impl Node {
    pub(crate) fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        // Four neighbouring ports that are free now.
        let port = (0..50)
            .find_map(|_| {
                let first = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
                let port = first.local_addr().ok()?.port();
                let is_free = |more| std::net::TcpListener::bind(("127.0.0.1", port.checked_add(more)?)).ok();
                let _others = (is_free(1)?, is_free(2)?, is_free(3)?);
                Some(port)
            })
            .unwrap();
        let started = Command::new("bash")
            .arg(script())
            .arg("start")
            .arg(dir.path())
            .arg(port.to_string())
            .status()
            .unwrap();
        let node = Self {
            dir,
            server: format!("127.0.0.1:{port}"),
        };
        if started.success() {
            return Some(node);
        }
        #[expect(clippy::disallowed_methods, reason = "the machine of all tests says so")]
        let ci = std::env::var("CI").is_ok();
        assert!(!ci, "Apache Kafka does not start");
        super::broker::say("SKIPPED: Apache Kafka needs Java 17 and Maven");
        None
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The address at which one has to sign in, and that at which one does so through TLS.
    fn signed(&self) -> [String; 2] {
        let (host, port) = self.server.rsplit_once(':').unwrap();
        [2, 3].map(|more| format!("{host}:{}", port.parse::<u16>().unwrap() + more))
    }

    /// Runs one of Kafka's own commands.
    #[cfg(feature = "kafka-tls")]
    fn command(&self, name: &str, words: &[&str]) {
        let done = Command::new(self.dir.path().join("bin").join(name))
            .args(["--bootstrap-server", &self.server])
            .args(words)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Kills it as a machine that fails does.
    pub(crate) fn kill(&self) {
        self.script(&["crash"]);
    }

    /// Starts it again on what it has on the disk.
    pub(crate) fn go_on(&self) {
        let port = self.server.rsplit(':').next().unwrap();
        self.script(&["start", port]);
    }

    fn script(&self, words: &[&str]) {
        let done = Command::new("bash")
            .arg(script())
            .arg(words[0])
            .arg(self.dir.path())
            .args(&words[1..])
            .status()
            .unwrap();
        assert!(done.success(), "{words:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        Command::new("bash")
            .arg(script())
            .arg("stop")
            .arg(self.dir.path())
            .status()
            .unwrap();
    }
}

fn line(seq: u64) -> String {
    format!(
        "2023-02-08T02:29:01,{seq},GET /data/m/heat+1995/{}.mpg",
        seq % 120
    )
}

fn stamp_ms(seq: u64) -> i64 {
    1_700_000_000_000 + seq as i64 * 1000
}

fn publish(publisher: &mut dyn Publisher, until: u64) {
    while publisher.next_seq() < until {
        let seq = publisher.next_seq();
        publisher.publish(stamp_ms(seq), line(seq).as_bytes()).unwrap();
    }
}

fn read(settings: &KafkaSettings, topic: &TopicName, at: At) -> Vec<u64> {
    let mut reader = settings.reader(topic, Clock::start()).unwrap();
    reader.seek(at).unwrap();
    let end = reader.bounds().unwrap().end;
    let (mut page, mut read) = (Page::default(), Vec::new());
    while reader.position() < end {
        assert!(
            reader.read(&mut page, Duration::from_secs(20)).unwrap() > 0,
            "silence at {}",
            reader.position()
        );
        for entry in page.entries() {
            assert_eq!(entry.line, line(entry.seq).as_bytes());
            assert_eq!(entry.stamp_ms, stamp_ms(entry.seq));
            read.push(entry.seq);
        }
    }
    read
}

#[test]
fn a_topic_of_real_kafka_is_written_read_and_gone_on_with() {
    let Some(node) = Node::start() else { return };
    let topic = TopicName::of_team("7").unwrap();
    let mut settings = KafkaSettings::new(&node.server);
    let mut publisher = settings.publisher(&topic, 0, Clock::start()).unwrap();
    assert_eq!((publisher.next_seq(), publisher.acked()), (0, 0));
    publish(&mut publisher, 2000);
    publisher.flush().unwrap();
    assert_eq!(publisher.acked(), 2000);
    drop(publisher);
    // Another life goes on behind the tail.
    let mut publisher = settings.publisher(&topic, 0, Clock::start()).unwrap();
    assert_eq!(publisher.next_seq(), 2000);
    publish(&mut publisher, 3000);
    publisher.flush().unwrap();
    assert_eq!(read(&settings, &topic, At::Start), (0..3000).collect::<Vec<_>>());
    assert_eq!(
        read(&settings, &topic, At::Seq(1234)),
        (1234..3000).collect::<Vec<_>>()
    );
    assert_eq!(
        read(&settings, &topic, At::Time(stamp_ms(1234))),
        (1234..3000).collect::<Vec<_>>()
    );

    // Several partitions are put together again, and a life that ended in the middle of a block is gone on with.
    settings.partitions = 2;
    let other = TopicName::of_team("8").unwrap();
    for until in [700, 1900] {
        let mut publisher = settings.publisher(&other, 0, Clock::start()).unwrap();
        publish(&mut publisher, until);
        publisher.flush().unwrap();
    }
    assert_eq!(read(&settings, &other, At::Start), (0..1900).collect::<Vec<_>>());
    assert_eq!(
        read(&settings, &other, At::Seq(777)),
        (777..1900).collect::<Vec<_>>()
    );

    // What is lost before it comes here leaves a gap, which readers are told of and can pass, in the middle of a block as well.
    for (topic, partitions) in [("10", 1), ("11", 2)] {
        settings.partitions = partitions;
        let gapped = TopicName::of_team(topic).unwrap();
        let mut publisher = settings.publisher(&gapped, 0, Clock::start()).unwrap();
        publish(&mut publisher, 700);
        publisher.skip_to(1_234).unwrap();
        assert_eq!((publisher.next_seq(), publisher.acked()), (1_234, 1_234));
        publish(&mut publisher, 2_600);
        publisher.flush().unwrap();
        assert_eq!(publisher.acked(), 2_600);
        let mut reader = settings.reader(&gapped, Clock::start()).unwrap();
        let (mut page, mut numbers, mut gone) = (Page::default(), Vec::new(), Vec::new());
        while reader.position() < 2_600 {
            match reader.read(&mut page, Duration::from_secs(20)) {
                Ok(count) => {
                    assert!(count > 0, "silence at {}", reader.position());
                    numbers.extend(page.entries().map(|entry| entry.seq));
                }
                Err(error) => {
                    let lost = error.lost().unwrap_or_else(|| panic!("{error}"));
                    reader.seek(At::Seq(lost.end)).unwrap();
                    gone.push(lost);
                }
            }
        }
        assert_eq!(
            gone.iter().map(|lost| lost.end - lost.start).sum::<u64>(),
            534,
            "{gone:?}"
        );
        assert_eq!((gone[0].start, gone.last().unwrap().end), (700, 1_234));
        assert_eq!(numbers, (0..700).chain(1_234..2_600).collect::<Vec<_>>());
    }

    if let Some(home) = super::broker::clients() {
        let faults = super::broker::matrix("apache kafka", &home, &node.server, "movielog7");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// Returns what `log access` prints or does for a course of two teams.
fn access(course: &Path, node: &Node, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .arg("--course")
        .arg(course)
        .args(["log", "access", "--server", &node.server, "--bin"])
        .arg(node.dir.path().join("bin"))
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // The course has no key of its own.
    assert!(said.contains("everybody can know these passwords"), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_team_signs_in_and_reads_its_own_topic_and_does_nothing_else() {
    let Some(node) = Node::start() else { return };
    let Some(home) = super::broker::clients() else {
        return;
    };
    node.script(&["commands"]);
    let course = tempfile::tempdir().unwrap();
    let teams = [7, 70].map(|number| {
        format!("[[team]]\nname = \"t{number}\"\nnumber = {number}\naddress = \"127.0.0.1:8082\"\n")
    });
    let file = format!(
        "schema = \"reelworld/course/v1\"\nname = \"Access\"\n{}",
        teams.concat()
    );
    std::fs::write(course.path().join("course.toml"), file).unwrap();

    let printed = access(course.path(), &node, &[]);
    assert_eq!(access(course.path(), &node, &["--apply"]), "");
    let settings = KafkaSettings::new(&node.server);
    for team in ["7", "70"] {
        let topic = TopicName::of_team(team).unwrap();
        let mut publisher = settings.publisher(&topic, 0, Clock::start()).unwrap();
        publish(&mut publisher, 10);
        publisher.flush().unwrap();
    }
    // Given once more in the middle of a semester, they change nothing.
    assert_eq!(access(course.path(), &node, &["--apply"]), "");
    // A name that begins another's gives no leave to what is the other's.
    for (user, own, others) in [
        ("team7", "movielog7", "movielog70"),
        ("team70", "movielog70", "movielog7"),
    ] {
        let password = printed
            .lines()
            .find(|line| line.ends_with(&format!("--entity-name {user}")))
            .and_then(|line| line.split_once("SCRAM-SHA-512=[password=")?.1.split_once(']'))
            .unwrap()
            .0;
        let output = Command::new(home.join("venv/bin/python"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/clients/signed_in.py"))
            .args([&node.signed()[0], user, password, own, others])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let came: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        let expected = serde_json::json!({
            "kafka-python": {
                "own": line(0),
                "others": "silence",
                "group": "GroupAuthorizationFailedError",
                "write": "TopicAuthorizationFailedError",
                "password": "refused",
            },
            "confluent-kafka": {
                "own": line(0),
                "others": "TOPIC_AUTHORIZATION_FAILED",
                "group": "GROUP_AUTHORIZATION_FAILED",
                "write": "TOPIC_AUTHORIZATION_FAILED",
                "password": "_AUTHENTICATION",
            },
        });
        assert_eq!(came, expected, "{said}");
        // What was refused left nothing.
        let topic = TopicName::new(own).unwrap();
        assert_eq!(read(&settings, &topic, At::Start), (0..10).collect::<Vec<_>>());
    }
}

/// Settings of who signs in as `server` through TLS, as they stand in a file.
#[cfg(feature = "kafka-tls")]
fn through_tls(password: &str, trusted: Option<&Path>) -> String {
    let trust = trusted.map_or_else(String::new, |file| {
        format!("ssl.ca.location={}\n", file.display())
    });
    format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=server\nsasl.password={password}\n{trust}"
    )
}

#[cfg(feature = "kafka-tls")]
#[test]
fn a_server_signs_in_through_tls_and_is_told_what_is_wrong_with_its_password_or_certificate() {
    let Some(node) = Node::start() else { return };
    node.script(&["commands"]);
    let secret = "SCRAM-SHA-512=[password=sesame]";
    let user = ["--entity-type", "users", "--entity-name", "server"];
    node.command(
        "kafka-configs.sh",
        &[&["--alter", "--add-config", secret], user.as_slice()].concat(),
    );
    let rights = ["--allow-principal", "User:server", "--operation", "All"];
    let all = ["--add", "--cluster", "--topic", "*", "--group", "*"];
    node.command("kafka-acls.sh", &[all.as_slice(), &rights].concat());

    // As its operator says it: a file of settings.
    let [_, secure] = node.signed();
    let certificate = node.dir.path().join("ca.pem");
    let home = tempfile::tempdir().unwrap();
    let cat = |settings: &str| {
        let file = home.path().join("client.properties");
        std::fs::write(&file, settings).unwrap();
        Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .args([
                "log",
                "cat",
                &format!("kafka://{secure}/movielog7"),
                "--kafka-config",
            ])
            .arg(&file)
            .output()
            .unwrap()
    };
    let mut settings = KafkaSettings::new(&secure);
    settings.client = through_tls("sesame", Some(&certificate))
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let topic = TopicName::of_team("7").unwrap();
    let mut publisher = settings.publisher(&topic, 0, Clock::start()).unwrap();
    publish(&mut publisher, 1000);
    publisher.flush().unwrap();
    assert_eq!(read(&settings, &topic, At::Start), (0..1000).collect::<Vec<_>>());
    let came = cat(&through_tls("sesame", Some(&certificate)));
    let expected: String = (0..1000).map(|seq| line(seq) + "\n").collect();
    assert_eq!(String::from_utf8(came.stdout).unwrap(), expected);

    for (settings, why) in [
        (through_tls("wrong", Some(&certificate)), "invalid credentials"),
        (through_tls("sesame", None), "ssl.ca.location"),
    ] {
        let came = cat(&settings);
        let said = String::from_utf8(came.stderr).unwrap();
        assert_eq!(came.status.code(), Some(4), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
