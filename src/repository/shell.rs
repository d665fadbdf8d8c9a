//! What the commands of a script do: whether they run tests, and whether anybody would notice that those fail.

/// The longest script that is looked at.
const SCRIPT_BYTES: usize = 64 << 10;
/// Programs that run tests and do nothing else.
const RUNNERS: &[&str] = &[
    "ava",
    "bats",
    "behave",
    "ctest",
    "jest",
    "karma",
    "mocha",
    "nose2",
    "nosetests",
    "nox",
    "phpunit",
    "py.test",
    "pytest",
    "rspec",
    "stestr",
    "tox",
    "trial",
    "vitest",
];
/// Programs whose word `test` runs tests.
const BY_WORD: &[&str] = &[
    "bazel",
    "bun",
    "cabal",
    "deno",
    "django-admin",
    "dotnet",
    "flutter",
    "go",
    "lein",
    "meson",
    "mix",
    "pants",
    "rake",
    "sbt",
    "stack",
    "swift",
    "zig",
];
/// Words before a command that change nothing about what it is.
const BEFORE: &[&str] = &[
    "command", "env", "exec", "nice", "nohup", "sudo", "time", "xvfb-run",
];
/// Programs that run another one in an environment of theirs: after `run` or `exec` comes a command.
const WITHIN: &[&str] = &[
    "bundle",
    "conda",
    "docker",
    "docker-compose",
    "hatch",
    "mamba",
    "micromamba",
    "npm",
    "npx",
    "pdm",
    "pipenv",
    "pnpm",
    "podman",
    "poetry",
    "rye",
    "uv",
    "yarn",
];
/// What asks a runner of tests to run none.
const RUNS_NONE: &[&str] = &[
    "--version",
    "--help",
    "-h",
    "--collect-only",
    "--co",
    "--no-run",
    "--list",
    "--fixtures",
];

/// Returns the commands of a script that run tests and whose failure ends the script. `own` is how the repository says that
/// its tests are run.
pub(super) fn test_commands(script: &str, own: &[String]) -> Vec<String> {
    if script.len() > SCRIPT_BYTES {
        return Vec::new();
    }
    let script = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in script.lines() {
        for (command, ignored) in commands(line) {
            if !ignored && (runs_tests(&command, 0) || is_own(&command, own)) {
                found.push(command.join(" "));
            }
        }
    }
    found
}

/// Commands that test nothing, whatever a repository says.
const IDLE: &[&str] = &["true", ":", "echo", "exit"];

/// Whether a command is the repository's own for its tests, whichever Python of several it names.
fn is_own(command: &[String], own: &[String]) -> bool {
    let program = |word: &str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        if name.starts_with("python") {
            "python".to_owned()
        } else {
            word.to_owned()
        }
    };
    let (Some((first, rest)), Some((own_first, own_rest))) = (command.split_first(), own.split_first())
    else {
        return false;
    };
    !IDLE.contains(&own_first.as_str()) && program(first) == program(own_first) && rest.starts_with(own_rest)
}

/// Splits a line into its commands, each with whether its failure is caught: `a && b || true` has two, the second caught.
fn commands(line: &str) -> Vec<(Vec<String>, bool)> {
    let mut all: Vec<(Vec<String>, bool)> = Vec::new();
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut quote = None;
    let mut signs = line.chars().peekable();
    while let Some(sign) = signs.next() {
        match (quote, sign) {
            (Some(open), _) if sign == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            // `2>&1` and `&>log` lead output elsewhere and end no command.
            (None, '&')
                if word.as_ref().is_some_and(|word| word.ends_with(['>', '<']))
                    || signs.peek() == Some(&'>') =>
            {
                word.get_or_insert_default().push(sign);
            }
            (None, '&' | '|' | ';' | '\n') => {
                words.extend(word.take());
                let double = signs.next_if_eq(&sign).is_some();
                let caught = sign == '|' && double || sign == '&' && !double;
                if !words.is_empty() {
                    all.push((std::mem::take(&mut words), caught));
                }
            }
            (None, _) if sign.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, _) => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        all.push((words, false));
    }
    all
}

/// Whether a command runs tests.
fn runs_tests(words: &[String], depth: usize) -> bool {
    // Each round takes a word away; nobody wraps a command ten times.
    const MOST_WRAPPED: usize = 10;
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    if depth == MOST_WRAPPED || rest.iter().any(|word| RUNS_NONE.contains(&word.as_str())) {
        return false;
    }
    let again = |words: &[String]| runs_tests(words, depth + 1);
    let name = first.rsplit('/').next().unwrap_or(first);
    let has = |wanted: &str| rest.iter().any(|word| word == wanted);
    let is_assignment = first.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    if is_assignment || BEFORE.contains(&name) || ["if", "!", "then", "do", "(", "{"].contains(&name) {
        return again(rest);
    }
    if name == "timeout" {
        let command = rest.iter().position(|word| !word.starts_with('-'));
        return command.is_some_and(|place| again(&rest[place + 1..]));
    }
    if RUNNERS.contains(&name) {
        return true;
    }
    let names_test = |word: &String| {
        let word = word.rsplit('/').next().unwrap_or(word).to_ascii_lowercase();
        word.contains("test") && !word.starts_with('-')
    };
    match name {
        "python" | "python3" | "py" | "coverage" => {
            if let Some(place) = rest.iter().position(|word| word == "-m") {
                let module = rest.get(place + 1).map(String::as_str);
                return module == Some("unittest") || again(&rest[place + 1..]);
            }
            if has("-c") {
                return false;
            }
            let mut named = rest
                .iter()
                .filter(|word| !word.starts_with('-') && *word != "run");
            named.next().is_some_and(names_test) || has("manage.py") && has("test")
        }
        "node" => has("--test"),
        "mvn" | "mvnw" => {
            let skips = rest
                .iter()
                .any(|word| word.starts_with("-DskipTests") || word.starts_with("-Dmaven.test.skip"));
            !skips
                && ["test", "verify", "package", "install"]
                    .iter()
                    .any(|goal| has(goal))
        }
        "gradle" | "gradlew" => {
            let left_out = rest
                .windows(2)
                .any(|pair| pair[0] == "-x" && pair[1].ends_with("test"));
            !left_out
                && rest.iter().any(|word| {
                    let task = word.rsplit(':').next().unwrap_or(word);
                    ["check", "build"].contains(&task) || task.to_ascii_lowercase().ends_with("test")
                })
        }
        "cargo" => ["test", "nextest", "llvm-cov", "tarpaulin"]
            .iter()
            .any(|word| has(word)),
        "npm" | "yarn" | "pnpm" | "bun"
            if rest.iter().any(|word| word == "t" || is_script_of_tests(word)) =>
        {
            true
        }
        "make" | "just" | "task" | "invoke" | "inv" => rest
            .iter()
            .any(|word| names_test(word) || ["check", "coverage"].contains(&word.as_str())),
        "bash" | "sh" | "zsh" => {
            if let Some(place) = rest.iter().position(|word| word == "-c") {
                let inner = rest.get(place + 1).map(|line| commands(line)).unwrap_or_default();
                return inner.iter().any(|(command, caught)| !caught && again(command));
            }
            rest.iter()
                .find(|word| !word.starts_with('-'))
                .is_some_and(names_test)
        }
        _ if BY_WORD.contains(&name) => has("test"),
        _ if WITHIN.contains(&name) => {
            // `poetry run pytest`, `docker compose run --rm api pytest -q`: the command may stand anywhere after `run`.
            let run = rest
                .iter()
                .position(|word| ["run", "exec"].contains(&word.as_str()));
            let (begin, end) = match run {
                Some(place) => (place + 1, rest.len()),
                None if ["npx", "yarn", "pnpm"].contains(&name) => (0, 1.min(rest.len())),
                None => return false,
            };
            (begin..end).any(|place| {
                let word = rest[place].as_str();
                let known = RUNNERS.contains(&word) || ["python", "python3", "coverage"].contains(&word);
                known && again(&rest[place..]) || name == "hatch" && is_script_of_tests(word)
            })
        }
        // A script of the repository: `./run_tests.sh`, `scripts/test`.
        _ => first.contains('/') && names_test(first),
    }
}

/// Whether a script of a `package.json` runs tests, by its name: `test`, `test:unit`.
fn is_script_of_tests(word: &str) -> bool {
    word == "test" || word.starts_with("test:") || word.starts_with("test-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_tests_nothing_is_no_test_even_if_the_repository_says_so() {
        assert!(test_commands("pytest || true", &["true".to_owned()]).is_empty());
    }

    fn own() -> Vec<String> {
        ["python3", "checks/all.py"].map(str::to_owned).to_vec()
    }

    #[test]
    fn commands_that_run_tests_are_told_from_those_that_only_name_them() {
        for line in [
            "pytest",
            "python -m pytest -q tests",
            "python3 -m unittest discover -s tests",
            "cd service && pytest --cov=.",
            "CI=1 npm test -- --watch=false",
            "npm run test:unit",
            "yarn test",
            "poetry run pytest",
            "uv run --frozen pytest -x",
            "uv run python -m pytest",
            "docker compose run --rm api pytest",
            "docker run image python -m pytest",
            "coverage run -m pytest",
            "coverage run --source=. tests/test_all.py",
            "./gradlew build",
            "./mvnw -B verify",
            "cargo test --locked",
            "go test ./...",
            "make test",
            "tox -e py312",
            "bash scripts/run_tests.sh",
            "./run_tests.sh",
            "node --test",
            "timeout 300 pytest",
            "sh -c 'pip install . && pytest'",
            "pytest | tee log.txt",
            "pytest 2>&1 | tee log.txt",
            "pytest &> log.txt",
            "python3 checks/all.py --fast",
            ".venv/bin/python checks/all.py",
            "if ! pytest; then exit 1; fi",
        ] {
            assert!(!test_commands(line, &own()).is_empty(), "{line}");
        }
        for line in [
            "pip install pytest",
            "echo pytest",
            "echo 'run pytest'",
            "# pytest",
            "pytest || true",
            "pytest -q || echo failed",
            "pytest --version",
            "pytest --collect-only",
            "cargo test --no-run",
            "./gradlew build -x test",
            "mvn package -DskipTests",
            "python train.py",
            "python -c 'import pytest'",
            "npm ci",
            "npm install --save-dev jest",
            "docker build -t test .",
            "cat tests/test_a.py",
            "make build",
            "poetry install",
            "uv pip install pytest",
            "pytest &",
            "python3 checks/one.py",
            "",
        ] {
            assert!(
                test_commands(line, &own()).is_empty(),
                "{line}: {:?}",
                test_commands(line, &own())
            );
        }
        assert_eq!(
            test_commands("pip install -r r.txt\npython -m \\\n  pytest\n", &[]).len(),
            1
        );
    }

    proptest::proptest! {
        #[test]
        fn any_script_is_read(script in "[ \\na-e'\"|&;#=$(){}/.\\\\-]{0,60}") {
            test_commands(&script, &[]);
        }
    }
}
