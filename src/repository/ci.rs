//! Whether a configuration of continuous integration runs the tests at each push, read from its file alone.
//!
//! Each system has a reader that says the same of its own form: what starts a run, and which commands then run tests whose
//! failure would be seen. What only the service behind knows (is it switched on? what do its variables hold?) is not told.

mod circle;
mod condition;
mod github;
mod gitlab;
mod jenkins;
mod travis;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::yaml::{self, Node};

/// The most configurations that are looked at.
const MOST_FILES: usize = 40;
/// The most commands that are told of one.
const SHOWN: usize = 5;

/// Endings of files that hold code.
const CODE: &[&str] = &[
    "c", "cc", "clj", "cpp", "cs", "ex", "go", "h", "hs", "java", "jl", "js", "jsx", "kt", "mjs", "php",
    "py", "r", "rb", "rs", "scala", "sh", "swift", "ts", "tsx",
];

/// What a configuration of continuous integration says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CiFacts {
    /// The file.
    pub path: String,
    /// The system that reads it.
    pub system: String,
    /// Whether a push to the branch that was handed in starts a run.
    pub on_push: bool,
    /// Commands that then run tests, a part of them.
    pub tests: Vec<String>,
    /// Why it can't be read, if it can't.
    pub fault: Option<String>,
}

impl CiFacts {
    /// Whether tests run at each push.
    pub fn runs_tests(&self) -> bool {
        self.on_push && !self.tests.is_empty()
    }
}

/// What the readers need to know of the repository.
struct Around<'a> {
    /// The branch that was handed in.
    branch: &'a str,
    /// How the repository says that its tests are run.
    own: &'a [String],
    /// All workflows of GitHub, which may call each other.
    workflows: &'a BTreeMap<String, Node>,
    /// The files of the commit that hold code.
    code: &'a [String],
}

impl Around<'_> {
    /// Whether a filter of paths takes a push that changes code: most of the commit's files that hold some. The last pattern that
    /// fits a path decides.
    fn changes(&self, patterns: &Node) -> bool {
        let taken = self.code.iter().filter(|path| takes(patterns, path)).count();
        self.code.is_empty() || taken * 2 > self.code.len()
    }
}

/// Tells whether a path is that of a configuration, and of which system.
pub(super) fn system(path: &str) -> Option<&'static str> {
    let is_yaml = [".yml", ".yaml"].iter().any(|end| path.ends_with(end));
    let workflow = path.strip_prefix(".github/workflows/");
    match path {
        _ if workflow.is_some_and(|name| is_yaml && !name.contains('/')) => Some("GitHub Actions"),
        ".gitlab-ci.yml" => Some("GitLab CI"),
        ".travis.yml" => Some("Travis CI"),
        ".circleci/config.yml" | ".circleci/config.yaml" => Some("CircleCI"),
        "Jenkinsfile" => Some("Jenkins"),
        _ => None,
    }
}

/// Tells whether a path is that of a file that holds code, by its ending.
pub(super) fn is_code(path: &str) -> bool {
    let ending = path
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| CODE.contains(&ending.as_str()))
}

/// Reads all configurations of a repository: path and text of each. `code` are the paths of its files that hold code.
pub(super) fn read(
    files: &BTreeMap<String, String>,
    branch: &str,
    own: &[String],
    code: &[String],
) -> Vec<CiFacts> {
    let all = || {
        let known = files
            .iter()
            .filter_map(|(path, text)| Some((path, system(path)?, text)));
        known.take(MOST_FILES)
    };
    let workflows: BTreeMap<String, Node> = all()
        .filter(|(_, system, _)| *system == "GitHub Actions")
        .filter_map(|(path, _, text)| Some((path.clone(), yaml::parse(text).ok()?)))
        .collect();
    let around = Around {
        branch,
        own,
        workflows: &workflows,
        code,
    };
    all()
        .map(|(path, system, text)| {
            let mut facts = CiFacts {
                path: path.clone(),
                system: system.to_owned(),
                ..CiFacts::default()
            };
            let found = if system == "Jenkins" {
                Ok(jenkins::read(text, &around))
            } else {
                yaml::parse(text).map(|node| match system {
                    "GitLab CI" => gitlab::read(&node, &around),
                    "Travis CI" => travis::read(&node, &around),
                    "CircleCI" => circle::read(&node, &around),
                    _ => github::read(&node, &around),
                })
            };
            match found {
                Ok((on_push, tests)) => {
                    facts.on_push = on_push;
                    facts.tests = tests.into_iter().take(SHOWN).collect();
                }
                Err(fault) => facts.fault = Some(fault),
            }
            facts
        })
        .collect()
}

/// Whether a pattern of branches fits a name: `*` stands for anything but a slash, `**` for anything, `/.../` is a regular
/// expression, which is taken to fit if it can't be read.
fn fits(pattern: &str, name: &str) -> bool {
    if let Some(expression) = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        return regex::Regex::new(expression).map_or(true, |expression| expression.is_match(name));
    }
    let mut expression = "^".to_owned();
    let mut rest = pattern;
    while let Some(sign) = rest.chars().next() {
        let (part, taken) = match sign {
            '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => (".".to_owned(), 1),
            _ => (regex::escape(&sign.to_string()), sign.len_utf8()),
        };
        expression.push_str(&part);
        rest = &rest[taken..];
    }
    expression.push('$');
    regex::Regex::new(&expression).is_ok_and(|expression| expression.is_match(name))
}

/// Whether a list of patterns takes a branch: the last that fits decides, and `!` takes it out again.
fn takes(patterns: &Node, branch: &str) -> bool {
    let mut taken = false;
    for pattern in patterns.texts() {
        match pattern.strip_prefix('!') {
            Some(left_out) if fits(left_out, branch) => taken = false,
            None if fits(pattern, branch) => taken = true,
            _ => {}
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one configuration of a repository whose branch is `main`.
    fn facts(path: &str, text: &str) -> CiFacts {
        let files = [(path.to_owned(), text.to_owned())].into();
        let own = ["make", "verify-all"].map(str::to_owned);
        let code = ["service.py", "src/app.py", "docs/conf.py"].map(str::to_owned);
        read(&files, "main", &own, &code).remove(0)
    }

    const ACTIONS: &str = ".github/workflows/ci.yml";

    #[test]
    fn configurations_that_run_tests_at_each_push() {
        for (path, text) in [
            (
                ACTIONS,
                "on: push\njobs:\n  t:\n    steps:\n      - uses: actions/checkout@v4\n      - run: |\n          pip install -r requirements.txt\n          pytest\n",
            ),
            (
                ACTIONS,
                "on: [push, pull_request]\njobs: {t: {steps: [{run: make verify-all}]}}\n",
            ),
            (
                ACTIONS,
                "\"on\":\n  push:\n    branches: [main]\njobs: {t: {steps: [{run: npm test}]}}\n",
            ),
            (ACTIONS, "on:\n  push:\njobs: {t: {steps: [{run: tox}]}}\n"),
            (
                ACTIONS,
                "on: {push: {branches: ['**', '!docs']}}\njobs: {t: {if: vars.X == 'x', steps: [{run: tox}]}}\n",
            ),
            (
                ACTIONS,
                "on: {push: {branches-ignore: [docs]}}\njobs: {t: {steps: [{run: tox, if: always()}]}}\n",
            ),
            (
                ".gitlab-ci.yml",
                "image: python:3.12\nstages: [test]\nunit:\n  stage: test\n  script:\n    - pip install .\n    - pytest\n",
            ),
            (
                ".gitlab-ci.yml",
                ".base:\n  script: [pytest]\nunit:\n  extends: .base\n",
            ),
            (
                ".gitlab-ci.yml",
                ".s: &s [pytest]\nunit:\n  script:\n    - pip install .\n    - *s\n  only: [branches]\n",
            ),
            (
                ".gitlab-ci.yml",
                "unit:\n  script: pytest\n  rules:\n    - if: $CI_PIPELINE_SOURCE == 'merge_request_event'\n      when: never\n    - when: on_success\n",
            ),
            (".travis.yml", "language: python\nscript:\n  - pytest\n"),
            (".travis.yml", "language: node_js\nnode_js: 20\n"),
            (
                ".travis.yml",
                "language: python\nbranches: {only: [main, /^release/]}\nscript: pytest\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\njobs:\n  build:\n    docker: [{image: x}]\n    steps:\n      - checkout\n      - run: pip install .\n      - run: {name: t, command: pytest}\nworkflows:\n  all:\n    jobs: [build]\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2\njobs: {build: {steps: [{run: pytest}]}}\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\ncommands: {unit: {steps: [{run: pytest}]}}\njobs: {t: {steps: [unit]}}\nworkflows: {a: {jobs: [{t: {filters: {branches: {only: main}}}}]}}\n",
            ),
            (
                "Jenkinsfile",
                "pipeline {\n  agent any\n  stages {\n    stage('Test') {\n      steps {\n        sh 'python -m pytest'\n      }\n    }\n  }\n}\n",
            ),
            (
                "Jenkinsfile",
                "node {\n  sh '''\n    . venv/bin/activate\n    pytest\n  '''\n}\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { triggers { pollSCM('* * * * *') }\n stages { stage('t') { steps { sh(script: \"make verify-all\") } } } }\n",
            ),
            (
                ACTIONS,
                "on: {push: {paths: ['**.py', '!docs/**']}}\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {if: github.ref == 'refs/heads/main' || github.event_name == 'pull_request', steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {a: {if: false, steps: [{run: echo}]}, t: {needs: [a], if: always(), steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {continue-on-error: '${{ matrix.new }}', steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{shell: bash, run: pytest | tee out.txt}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\ndefaults: {run: {shell: bash}}\njobs: {t: {steps: [{run: pytest | tee out.txt}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{shell: 'bash -l {0}', run: 'pip install . ; pytest'}]}}\n",
            ),
            (
                ".gitlab-ci.yml",
                ".t: {script: [pytest]}\nt: {script: [pip install ., !reference [.t, script]]}\n",
            ),
            (
                ".gitlab-ci.yml",
                ".t: {script: [pytest]}\nt: {script: !reference [.t, script]}\n",
            ),
            (".gitlab-ci.yml", "t: {before_script: [pytest], script: [echo]}\n"),
            (
                ".gitlab-ci.yml",
                "t:\n  script: [pytest]\n  rules: [{if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH}]\n",
            ),
            (
                ".gitlab-ci.yml",
                "t: {only: {changes: ['**/*.py']}, script: [pytest]}\n",
            ),
            (
                ".gitlab-ci.yml",
                "t: {allow_failure: {exit_codes: 137}, script: [pytest | tee a]}\n",
            ),
            (
                ".gitlab-ci.yml",
                "t:\n  rules:\n    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS\n      when: never\n    - if: $CI_COMMIT_BRANCH\n  script: [pytest]\n",
            ),
            (
                ".travis.yml",
                "if: branch = main AND type = push\nscript: pytest\n",
            ),
            (
                ".travis.yml",
                "script: pytest\njobs: {include: [{name: a}, {name: b}], allow_failures: [{name: a}]}\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\njobs: {t: {steps: [{when: {condition: true, steps: [{run: pytest}]}}]}}\nworkflows: {w: {jobs: [t]}}\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\njobs: {t: {steps: [{run: pytest | tee a}]}}\nworkflows: {w: {when: {equal: [main, << pipeline.git.branch >>]}, jobs: [t]}}\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { stages { stage('t') { when { branch 'main' }\n steps { catchError(stageResult: 'FAILURE') { sh 'pytest' } } } } }\n",
            ),
            (
                "Jenkinsfile",
                "node { try { sh 'pytest' } catch (e) { echo 'x'; throw e } }\n",
            ),
            (
                "Jenkinsfile",
                "node { try { sh 'pytest' } finally { echo 'x' } }\n",
            ),
            ("Jenkinsfile", "node { sh(label: 'Test', script: 'pytest') }\n"),
            (
                "Jenkinsfile",
                "pipeline { stages { stage('t') { when { not { changeRequest() } }\n steps { sh 'pytest' } } } }\n",
            ),
        ] {
            let found = facts(path, text);
            assert!(found.runs_tests(), "{text}\n{found:?}");
        }
    }

    #[test]
    fn configurations_that_do_not() {
        for (path, text) in [
            // Other moments than a push, or a push to something else.
            (ACTIONS, "on: pull_request\njobs: {t: {steps: [{run: pytest}]}}\n"),
            (
                ACTIONS,
                "on: {push: {tags: ['v*']}}\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: {push: {branches: [release]}}\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: {push: {branches: ['*', '!main']}}\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: workflow_dispatch\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (".gitlab-ci.yml", "unit: {script: pytest, only: [tags]}\n"),
            (".gitlab-ci.yml", "unit: {script: pytest, when: manual}\n"),
            (
                ".gitlab-ci.yml",
                "unit:\n  script: pytest\n  rules: [{if: $CI_PIPELINE_SOURCE == 'schedule'}]\n",
            ),
            (
                ".gitlab-ci.yml",
                ".hidden: {script: pytest}\nbuild: {script: make}\n",
            ),
            (
                ".travis.yml",
                "language: python\nbranches: {only: [release]}\nscript: pytest\n",
            ),
            (
                ".travis.yml",
                "language: python\nif: type = cron\nscript: pytest\n",
            ),
            (
                ".circleci/config.yml",
                "jobs: {b: {steps: [{run: pytest}]}}\nworkflows: {n: {triggers: [{schedule: {cron: x}}], jobs: [b]}}\n",
            ),
            (
                ".circleci/config.yml",
                "jobs: {b: {steps: [{run: pytest}]}, c: {steps: [{run: make}]}}\nworkflows: {n: {jobs: [c]}}\n",
            ),
            (
                ".circleci/config.yml",
                "jobs: {b: {steps: [{run: pytest}]}}\nworkflows: {n: {jobs: [{b: {filters: {branches: {ignore: main}}}}]}}\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { triggers { cron('H 4 * * *') }\n stages { stage('t') { steps { sh 'pytest' } } } }\n",
            ),
            // No test, or one whose failure nobody would see.
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{run: pip install pytest}]}}\n",
            ),
            (ACTIONS, "on: push\njobs: {t: {steps: [{run: pytest || true}]}}\n"),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{run: pytest, continue-on-error: true}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {continue-on-error: true, steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {if: false, steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {if: \"${{ github.event_name == 'pull_request' }}\", steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{name: pytest, uses: x/y@v1}]}}\n",
            ),
            (ACTIONS, "# on: push\n"),
            (".gitlab-ci.yml", "unit: {script: pytest, allow_failure: true}\n"),
            (".travis.yml", "language: python\n"),
            (".travis.yml", "language: python\nscript: [echo pytest]\n"),
            (
                "Jenkinsfile",
                "// sh 'pytest'\npipeline { stages { stage('t') { steps { sh 'make' } } } }\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { stages { stage('t') { steps { sh(script: 'pytest', returnStatus: true) } } } }\n",
            ),
            (
                "Jenkinsfile",
                "/* pipeline { sh 'pytest' } */\nnode { echo 'pytest' }\n",
            ),
            (
                ACTIONS,
                "on: {push: {paths: ['docs/**']}}\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: {push: {paths-ignore: ['**.py']}}\njobs: {t: {steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: [push, pull_request]\njobs: {t: {if: github.event_name != 'push', steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {if: github.ref == 'refs/heads/release', steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {a: {if: false, steps: [{run: echo}]}, t: {needs: a, steps: [{run: pytest}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{run: pytest, continue-on-error: '${{ true }}'}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{run: pytest -q | tee out.txt}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{shell: 'bash -l {0}', run: 'pytest ; echo done'}]}}\n",
            ),
            (
                ACTIONS,
                "on: push\njobs: {t: {steps: [{run: \"set +e\\npytest\\necho done\"}]}}\n",
            ),
            (
                ".gitlab-ci.yml",
                "t: {allow_failure: {exit_codes: 1}, script: [pytest]}\n",
            ),
            (
                ".gitlab-ci.yml",
                "t:\n  rules: [{if: $CI_COMMIT_BRANCH, allow_failure: true}]\n  script: [pytest]\n",
            ),
            (
                ".gitlab-ci.yml",
                "t:\n  rules:\n    - if: $CI_PIPELINE_SOURCE == 'push'\n      when: never\n    - when: on_success\n  script: [pytest]\n",
            ),
            (
                ".gitlab-ci.yml",
                "t:\n  rules: [{if: $CI_COMMIT_BRANCH =~ /^release/}]\n  script: [pytest]\n",
            ),
            (
                ".gitlab-ci.yml",
                "t:\n  rules: [{changes: ['docs/**']}]\n  script: [pytest]\n",
            ),
            (
                ".gitlab-ci.yml",
                "t: {before_script: [set +e], script: [pytest, echo done]}\n",
            ),
            (
                ".travis.yml",
                "if: type IN (pull_request, cron)\nscript: pytest\n",
            ),
            (".travis.yml", "language: python\nscript: pytest; true\n"),
            (
                ".travis.yml",
                "script: pytest\njobs: {include: [{name: a}], allow_failures: [{name: a}]}\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\njobs: {t: {steps: [{run: pytest}]}}\nworkflows: {w: {when: false, jobs: [t]}}\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\njobs: {t: {steps: [{unless: {condition: true, steps: [{run: pytest}]}}]}}\nworkflows: {w: {jobs: [t]}}\n",
            ),
            (
                ".circleci/config.yml",
                "version: 2.1\njobs: {t: {steps: [{run: pytest}]}}\nworkflows: {w: {jobs: [{hold: {type: approval}}, {t: {requires: [hold]}}]}}\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { stages { stage('t') { steps { catchError(buildResult: 'SUCCESS', stageResult: 'FAILURE') { sh 'pytest' } } } } }\n",
            ),
            (
                "Jenkinsfile",
                "node { try { sh 'pytest' } catch (e) { echo 'x' } }\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { stages { stage('t') { when { changeRequest() }\n steps { sh 'pytest' } } } }\n",
            ),
            (
                "Jenkinsfile",
                "pipeline { stages { stage('t') { when { branch 'release' }\n steps { sh 'pytest' } } } }\n",
            ),
            ("Jenkinsfile", "node { sh 'pytest | tee o' }\n"),
            ("Jenkinsfile", "node { sh '#!/bin/bash\\npytest\\necho done' }\n"),
            (
                "Jenkinsfile",
                "node { sh(returnStatus: true, script: 'pytest') }\n",
            ),
        ] {
            let found = facts(path, text);
            assert!(!found.runs_tests(), "{text}\n{found:?}");
        }
    }

    #[test]
    fn a_workflow_that_is_called_counts_and_calls_do_not_go_in_circles() {
        let call = |to: &str| format!("on: push\njobs: {{c: {{uses: ./.github/workflows/{to}}}}}\n");
        let tests = "on: workflow_call\njobs: {t: {steps: [{run: pytest}]}}\n".to_owned();
        let named = |name: &str| format!(".github/workflows/{name}");
        let files = [(named("a.yml"), call("t.yml")), (named("t.yml"), tests)].into();
        assert!(read(&files, "main", &[], &[])[0].runs_tests());
        let circle = [(named("a.yml"), call("b.yml")), (named("b.yml"), call("a.yml"))].into();
        assert!(!read(&circle, "main", &[], &[])[0].runs_tests());
    }

    #[test]
    fn a_broken_file_is_told() {
        let found = facts(ACTIONS, "on: [push\njobs: }");
        assert!(found.fault.unwrap().contains("is no YAML"));
        assert_eq!(system("docs/.gitlab-ci.yml"), None);
        assert_eq!(system(".github/workflows/x/ci.yml"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_configuration_is_read(
            place in 0..5_usize,
            text in "((on|jobs|t|steps|run|script|only|rules|if|push|workflows|sh|pytest|pipeline)?[ \\n:\\-\\[\\]{}'\",&*]){0,40}",
        ) {
            let path = [ACTIONS, ".gitlab-ci.yml", ".travis.yml", ".circleci/config.yml", "Jenkinsfile"][place];
            facts(path, &text);
        }
    }
}
