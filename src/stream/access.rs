//! What a team may do at a course's Kafka: its name and password, and leave to read its own topic, as Kafka's own commands.

use super::TopicName;

/// How the commands reach the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access<'a> {
    /// `host:port`.
    pub server: &'a str,
    /// The file of settings with which an administrator signs in, if the cluster wants one.
    pub config: Option<&'a str>,
    /// Where Kafka's scripts are, with the separator at its end; nothing where the shell finds them.
    pub bin: &'a str,
    /// The partitions of a topic that is made.
    pub partitions: u32,
    /// The copies of each.
    pub replication: u32,
}

impl Access<'_> {
    /// Returns the commands that make a team's topic and give the team its password and leave to read it: programs with
    /// their arguments.
    ///
    /// The topic is kept for ever: retention goes by stamps, and a course's last for a semester.
    /// A team may read and describe its topic, and use the group of its own name and those whose names begin with it and a
    /// hyphen (without the hyphen, team 1 would get into the groups of team 10): not write, not make topics, not read
    /// another team's. Given again, they change nothing.
    pub fn commands(&self, user: &str, password: &str, topic: &TopicName) -> Vec<Vec<String>> {
        let principal = format!("User:{user}");
        let (partitions, copies) = (self.partitions.to_string(), self.replication.to_string());
        let mut topic_words = vec!["--create", "--if-not-exists", "--topic", topic.as_str()];
        topic_words.extend(["--partitions", &partitions, "--replication-factor", &copies]);
        topic_words.extend(["--config", "retention.ms=-1"]);
        let mut all = vec![self.command("kafka-topics.sh", &topic_words)];
        all.push(self.command(
            "kafka-configs.sh",
            &[
                "--alter",
                "--add-config",
                &format!("SCRAM-SHA-512=[password={password}]"),
                "--entity-type",
                "users",
                "--entity-name",
                user,
            ],
        ));
        let leave = |more: &[&str]| {
            let mut words = vec!["--add", "--allow-principal", principal.as_str()];
            words.extend(["--operation", "Read", "--operation", "Describe"]);
            words.extend(more);
            self.command("kafka-acls.sh", &words)
        };
        all.push(leave(&["--topic", topic.as_str()]));
        all.push(leave(&["--group", user]));
        let groups = format!("{user}-");
        all.push(leave(&[
            "--group",
            &groups,
            "--resource-pattern-type",
            "prefixed",
        ]));
        all
    }

    fn command(&self, script: &str, words: &[&str]) -> Vec<String> {
        let mut command = vec![format!("{}{script}", self.bin)];
        command.extend(["--bootstrap-server", self.server].map(str::to_owned));
        if let Some(config) = self.config {
            command.extend(["--command-config", config].map(str::to_owned));
        }
        command.extend(words.iter().map(|word| (*word).to_owned()));
        command
    }
}

/// Prints a command as a shell reads it.
pub fn shell(command: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:,=".contains(&byte))
    };
    let quoted = |word: &String| {
        if plain(word) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_gets_a_password_and_leave_to_read_its_topic_alone() {
        let access = Access {
            server: "kafka.example:9092",
            config: Some("admin.properties"),
            bin: "",
            partitions: 2,
            replication: 3,
        };
        let topic = TopicName::of_team("7").unwrap();
        let commands: Vec<String> = access
            .commands("team7", "secret", &topic)
            .iter()
            .map(|command| shell(command))
            .collect();
        assert_eq!(
            commands,
            [
                "kafka-topics.sh --bootstrap-server kafka.example:9092 --command-config admin.properties --create \
                 --if-not-exists --topic movielog7 --partitions 2 --replication-factor 3 --config retention.ms=-1",
                "kafka-configs.sh --bootstrap-server kafka.example:9092 --command-config admin.properties --alter \
                 --add-config 'SCRAM-SHA-512=[password=secret]' --entity-type users --entity-name team7",
                "kafka-acls.sh --bootstrap-server kafka.example:9092 --command-config admin.properties --add \
                 --allow-principal User:team7 --operation Read --operation Describe --topic movielog7",
                "kafka-acls.sh --bootstrap-server kafka.example:9092 --command-config admin.properties --add \
                 --allow-principal User:team7 --operation Read --operation Describe --group team7",
                "kafka-acls.sh --bootstrap-server kafka.example:9092 --command-config admin.properties --add \
                 --allow-principal User:team7 --operation Read --operation Describe --group team7- \
                 --resource-pattern-type prefixed",
            ]
        );
    }

    #[test]
    fn a_word_that_a_shell_would_change_is_quoted() {
        let command = ["echo", "it's", "$HOME", "a b", ""].map(str::to_owned);
        assert_eq!(shell(&command), r"echo 'it'\''s' '$HOME' 'a b' ''");
    }
}
