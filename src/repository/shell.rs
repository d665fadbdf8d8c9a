//! What the commands of a script do: whether they run tests.

use super::notice::{Shell, noticed};

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
const BY_WORD: &[&str] = &["bazel", "lein", "mix", "pants", "rake", "sbt", "zig"];
/// Words before a command that change nothing about what it is.
const BEFORE: &[&str] = &[
    "command", "env", "exec", "nice", "nohup", "sudo", "time", "xvfb-run",
];
/// Words of a name that say that it makes something ready for tests and runs none, unless it says that it runs as well.
const READIES: &[&str] = &[
    "build",
    "clean",
    "compile",
    "create",
    "data",
    "dep",
    "deps",
    "docs",
    "download",
    "env",
    "fixtures",
    "format",
    "generate",
    "image",
    "install",
    "lint",
    "prepare",
    "requirements",
    "setup",
    "types",
    "upload",
];
/// Environments of `tox` and `nox` that test nothing.
const NO_TESTS: &[&str] = &[
    "black", "build", "docs", "flake8", "format", "lint", "mypy", "package", "ruff", "style", "type",
    "types", "typing",
];
/// Programs that run another one in an environment of theirs: after `run` or `exec` comes a command.
const WITHIN: &[&str] = &[
    "bundle",
    "conda",
    "hatch",
    "mamba",
    "micromamba",
    "npm",
    "npx",
    "pdm",
    "pipenv",
    "pipx",
    "pnpm",
    "poetry",
    "rye",
    "uv",
    "uvx",
    "yarn",
];
/// Programs that run another one in a container: after `run` or `exec` come the container and a command.
const CONTAINERS: &[&str] = &["docker", "docker-compose", "podman", "podman-compose"];
/// Options of all of those whose value is a word of its own.
const VALUED: &[&str] = &[
    "--add-host",
    "--cap-add",
    "--cpus",
    "--device",
    "--directory",
    "--entrypoint",
    "--env",
    "--env-file",
    "--extra",
    "--file",
    "--filter",
    "--from",
    "--gpus",
    "--group",
    "--hostname",
    "--index",
    "--index-url",
    "--ipc",
    "--label",
    "--link",
    "--memory",
    "--mount",
    "--name",
    "--net",
    "--network",
    "--only-group",
    "--no-group",
    "--package",
    "--pid",
    "--platform",
    "--prefix",
    "--profile",
    "--project",
    "--publish",
    "--pull",
    "--python",
    "--restart",
    "--scale",
    "--security-opt",
    "--shm-size",
    "--spec",
    "--tmpfs",
    "--ulimit",
    "--user",
    "--volume",
    "--with",
    "--with-editable",
    "--with-requirements",
    "--workdir",
    "--workspace",
    "-C",
    "-e",
    "-f",
    "-h",
    "-l",
    "-m",
    "-n",
    "-p",
    "-u",
    "-v",
    "-w",
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

/// Returns the commands of a script that run tests and whose failure ends the script, or is its own. `own` is how the repository
/// says that its tests are run.
pub(super) fn test_commands(script: &str, shell: Shell, own: &[String]) -> Vec<String> {
    if script.len() > SCRIPT_BYTES {
        return Vec::new();
    }
    let mut found = noticed(script, shell);
    found.retain(|command| runs_tests(command, 0) || is_own(command, own));
    found.into_iter().map(|command| command.join(" ")).collect()
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

/// Whether a command runs tests.
fn runs_tests(words: &[String], depth: usize) -> bool {
    // Each round takes a word away; nobody wraps a command ten times.
    const MOST_WRAPPED: usize = 10;
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    if depth == MOST_WRAPPED {
        return false;
    }
    let again = |words: &[String]| runs_tests(words, depth + 1);
    let name = first.rsplit('/').next().unwrap_or(first);
    let is_assignment = first.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    if is_assignment {
        return again(rest);
    }
    if BEFORE.contains(&name) {
        return again(after_options(rest, &["-n", "-s", "-u"]));
    }
    if name == "timeout" {
        let rest = after_options(rest, &["-k", "-s", "--kill-after", "--signal"]);
        return again(rest.get(1..).unwrap_or_default());
    }
    if CONTAINERS.contains(&name) {
        return contained(rest).is_some_and(|command| again(&command));
    }
    if ["bash", "sh", "zsh"].contains(&name) {
        let inner = rest.iter().position(|word| is_inner(word));
        if let Some((options, inner)) = inner.and_then(|place| Some((&rest[..=place], rest.get(place + 1)?)))
        {
            let shell = Shell::GOES_ON.with(options.iter().map(String::as_str));
            return noticed(inner, shell).iter().any(|command| again(command));
        }
        let script = rest.iter().find(|word| !word.starts_with(['-', '+']));
        return script.is_some_and(|word| names_test(word));
    }
    if WITHIN.contains(&name) && within(name, rest).is_some_and(again) {
        return true;
    }
    if rest.iter().any(|word| RUNS_NONE.contains(&word.as_str())) {
        return false;
    }
    if ["tox", "nox"].contains(&name) {
        return !only_other_environments(rest);
    }
    RUNNERS.contains(&name) || by_its_words(first, name, rest, &again)
}

/// Whether an option of a shell says that a script follows: `-c`, `-ec`.
fn is_inner(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|letters| !letters.starts_with('-') && letters.ends_with('c'))
}

/// Returns what follows the options that a command begins with.
fn after_options<'a>(words: &'a [String], valued: &[&str]) -> &'a [String] {
    let mut rest = words;
    while let Some((option, after)) = rest
        .split_first()
        .filter(|(word, _)| word.starts_with(['-', '+']))
    {
        let has_value = valued.contains(&option.as_str());
        rest = after.get(usize::from(has_value)..).unwrap_or_default();
    }
    rest
}

/// Returns the command that a container is to run.
fn contained(words: &[String]) -> Option<Vec<String>> {
    let run = words
        .iter()
        .position(|word| ["run", "exec"].contains(&word.as_str()))?;
    let rest = &words[run + 1..];
    let command = after_options(rest, VALUED);
    let options = &rest[..rest.len() - command.len()];
    let entry = options.iter().enumerate().find_map(|(place, word)| {
        let value = word.strip_prefix("--entrypoint")?;
        value
            .strip_prefix('=')
            .or_else(|| options.get(place + 1).map(String::as_str))
    });
    let inner = command.get(1..)?.iter().cloned();
    Some(entry.map(str::to_owned).into_iter().chain(inner).collect())
}

/// Returns the command that is run within an environment: `poetry run pytest`, `uvx pytest`, `yarn jest`.
fn within<'a>(name: &str, words: &'a [String]) -> Option<&'a [String]> {
    let run = words
        .iter()
        .position(|word| ["run", "exec", "x", "dlx"].contains(&word.as_str()));
    match run {
        Some(place) => Some(after_options(&words[place + 1..], VALUED)),
        None if ["npx", "yarn", "pnpm", "uvx"].contains(&name) => Some(after_options(words, VALUED)),
        None => None,
    }
}

fn only_other_environments(words: &[String]) -> bool {
    let named = words
        .windows(2)
        .filter(|pair| ["-e", "-s"].contains(&pair[0].as_str()));
    let mut named = named.flat_map(|pair| pair[1].split(',')).peekable();
    named.peek().is_some() && named.all(|name| NO_TESTS.contains(&name))
}

/// Whether a program that does many things is told to test.
fn by_its_words(first: &str, name: &str, rest: &[String], again: &dyn Fn(&[String]) -> bool) -> bool {
    let has = |wanted: &str| rest.iter().any(|word| word == wanted);
    let is_given = |word: &&String| !word.starts_with(['-', '+']) && !word.contains('=');
    let told: Vec<&String> = {
        // A folder or file that an option names is no word of what to do.
        let valued = [
            "-C",
            "-f",
            "-w",
            "--dir",
            "--directory",
            "--file",
            "--filter",
            "--prefix",
            "--workspace",
        ];
        let mut after_valued = false;
        let mut told = Vec::new();
        for word in rest {
            if !std::mem::replace(&mut after_valued, valued.contains(&word.as_str())) && is_given(&word) {
                told.push(word);
            }
        }
        told
    };
    let begins = |wanted: &[&str]| told.first().is_some_and(|word| wanted.contains(&word.as_str()));
    // `$PYTHON -m pytest` leaves open which Python runs it.
    if name.starts_with("python") || ["py", "coverage"].contains(&name) || name.starts_with('$') && has("-m")
    {
        if name == "coverage" && !begins(&["run"]) {
            return false;
        }
        if let Some(place) = rest.iter().position(|word| word == "-m") {
            let module = rest.get(place + 1).map(String::as_str);
            return module == Some("unittest")
                || module == Some("django") && has("test")
                || again(&rest[place + 1..]);
        }
        if has("-c") {
            return false;
        }
        let mut named = rest
            .iter()
            .filter(|word| !word.starts_with('-') && *word != "run");
        return named.next().is_some_and(|word| names_test(word))
            || ["manage.py", "setup.py"].iter().any(|word| has(word)) && has("test");
    }
    match name {
        "node" => has("--test"),
        "hatch" if begins(&["test"]) => true,
        "hatch" if begins(&["run"]) => told.get(1).is_some_and(|word| names_test(word)),
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
                    ["check", "build"].contains(&task) || names_test(task)
                })
        }
        "cargo" if begins(&["nextest"]) => has("run") || has("r"),
        "cargo" if begins(&["hack", "make", "xtask"]) => told[1..].iter().any(|word| names_test(word)),
        "cargo" => begins(&["llvm-cov", "t", "tarpaulin", "test"]),
        "npm" | "yarn" | "pnpm" | "bun" => {
            let at = usize::from(begins(&["run", "run-script", "workspaces"]));
            let at = if begins(&["workspace"]) { 2 } else { at };
            let script = told.get(at).map(|word| word.as_str());
            script == Some("t") || script.is_some_and(names_test) && !begins(&["install", "i", "add"])
        }
        "make" | "just" | "task" | "invoke" | "inv" => told
            .iter()
            .any(|word| names_test(word) || ["check", "coverage"].contains(&word.as_str())),
        // Of these one word says what to do, and others may have any name.
        "cabal" | "deno" | "django-admin" | "dotnet" | "flutter" | "go" | "meson" | "stack" | "swift" => {
            begins(&["test"])
        }
        _ if BY_WORD.contains(&name) => has("test"),
        // A script of the repository: `./run_tests.sh`, `scripts/test`.
        _ => first.contains('/') && names_test(first),
    }
}

/// Whether a script, a target or a file runs tests, by its name: `test` stands in it as a word of its own (`run_tests.sh`,
/// `test:unit`, `integrationTest`), and no other word says that it only makes something ready.
fn names_test(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for sign in name.chars() {
        if !sign.is_alphanumeric() || before.is_lowercase() && sign.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| sign.is_alphanumeric()) {
            part.extend(sign.to_lowercase());
        }
        before = sign;
    }
    let has = |words: &[&str]| parts.iter().any(|part| words.contains(&part.as_str()));
    has(&[
        "pytest",
        "runtests",
        "test",
        "tests",
        "testsuite",
        "unittest",
        "unittests",
    ]) && (!has(READIES) || has(&["and", "run"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_tests_nothing_is_no_test_even_if_the_repository_says_so() {
        assert!(test_commands("pytest || true", Shell::STRICT, &["true".to_owned()]).is_empty());
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
            "if pytest; then echo good; else echo bad; exit 1; fi",
            "pytest || exit 1",
            "pytest || { echo failed; exit 1; }",
            "pytest || (echo failed; exit 1)",
            "python -m unittest || exit 1",
            "pytest || pytest --last-failed",
            "set +e\npytest\ncode=$?\necho done\nexit $code",
            "cd app; pytest 2>&1 | tee log; test ${PIPESTATUS[0]} -eq 0",
            "check() {\n  pytest -q\n}\ncheck",
            "for part in a b; do pytest $part; done",
            "case $X in a) pytest;; *) echo;; esac",
            "cat > Makefile <<EOF\nmake\nEOF\npytest",
            "test -f requirements.txt && pip install -r requirements.txt && pytest",
            "docker run --rm -e A=b img sh -c 'pytest -q'",
            "docker run -h host app pytest -q",
            "docker compose -f ci.yml run --rm -T api pytest",
            "docker run --entrypoint pytest img -q",
            "uvx pytest",
            "uvx --with numpy pytest -q",
            "uv run --with pytest pytest -q",
            "hatch test",
            "hatch run test:unit",
            "${{ env.PYTHON }} -m pytest",
            "python manage.py test",
            "npm --prefix web test",
            "make -C service test",
            "./build_and_test.sh",
            "gradle integrationTest",
            "env -i A=b pytest",
            "timeout -k 5 300 pytest",
            "[[ -d tests && -f a ]] && pytest",
        ] {
            assert!(!test_commands(line, Shell::STRICT, &own()).is_empty(), "{line}");
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
            "python download_latest.py",
            "./deploy_latest.sh",
            "./scripts/contest_upload",
            "cargo build --features test",
            "make -C tests lint",
            "make lint TESTS=tests",
            "make install-test-deps",
            "./scripts/build_test_image.sh",
            "npm install test",
            "go build -o test .",
            "if pytest; then echo good; else echo bad; fi",
            "if ! pytest; then echo bad; fi",
            "! pytest",
            "while ! pytest; do sleep 1; done",
            "set +e\npytest\necho done",
            "pytest && echo good\necho done",
            "pytest || { echo failed; exit 0; }",
            "pytest || { echo failed; exit; }",
            "exit 0\npytest",
            "cat > Makefile <<EOF\npytest\nEOF",
            "cat <<-'END' > a\n\tpytest\n\tEND\n",
            "check() { pytest; }",
            "sh -c 'pytest; echo done'",
            "docker run img pip install pytest",
            "poetry run pip install pytest",
            "uv run --with pytest python train.py",
            "echo \"\n pytest\n\"",
            "tox -e lint,mypy",
            "",
        ] {
            assert!(
                test_commands(line, Shell::STRICT, &own()).is_empty(),
                "{line}: {:?}",
                test_commands(line, Shell::STRICT, &own())
            );
        }
        assert_eq!(
            test_commands(
                "pip install -r r.txt\npython -m \\\n  pytest\n",
                Shell::STOPS,
                &[]
            )
            .len(),
            1
        );
    }

    #[test]
    fn what_a_shell_looks_at_decides_whose_failure_is_seen() {
        let counts = |line: &str, shell| !test_commands(line, shell, &[]).is_empty();
        let [goes_on, stops, strict] = [Shell::GOES_ON, Shell::STOPS, Shell::STRICT];
        for (line, wanted) in [
            ("pytest", [true, true, true]),
            ("pytest -q | tee out.txt", [false, false, true]),
            ("set -o pipefail\npytest -q | tee out.txt", [true, true, true]),
            ("pytest | tee a; test ${PIPESTATUS[0]} -eq 0", [true, true, true]),
            ("pytest | tee a; echo $?", [false, false, true]),
            ("pytest; true", [false, true, true]),
            ("pytest\necho done", [false, true, true]),
            ("set -e\npytest\necho done", [true, true, true]),
            ("set -euo pipefail; pytest | tee a; echo done", [true, true, true]),
            ("pytest && echo good", [true, true, true]),
            ("(set +e; pytest; true)", [false, false, false]),
        ] {
            let found = [goes_on, stops, strict].map(|shell| counts(line, shell));
            assert_eq!(found, wanted, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_script_is_read(script in "[ \\na-e'\"|&;#=$(){}/.\\\\-]{0,60}") {
            test_commands(&script, Shell::STRICT, &[]);
            test_commands(&script, Shell::GOES_ON, &[]);
        }
    }
}
