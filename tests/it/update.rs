//! `starter new --all` and `starter update` through the real program: repositories of a class, and one mending that reaches all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A class: a course folder of its own, and where its repositories are.
struct Class(tempfile::TempDir);

impl Class {
    fn new(teams: usize) -> Self {
        let class = Self(tempfile::tempdir().unwrap());
        let course = class.path("course");
        fs::create_dir(&course).unwrap();
        let mut text = "schema = 'reelworld/course/v1'\nname = 'A small class'\n[world]\nusers = 1000\nmovies = 100\n[release]\nusers = 50\ndays = 3\nheldout_days = 1\n".to_owned();
        for number in 1..=teams {
            text.push_str(&format!(
                "[[team]]\nname = 'team{number}'\nnumber = {number}\naddress = 'host{number}.example.edu:{}'\n",
                9000 + number
            ));
        }
        fs::write(course.join("course.toml"), text).unwrap();
        class
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn reelworld(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
        command
            .arg("--course")
            .arg(self.path("course"))
            .current_dir(self.0.path());
        command
    }

    fn make(&self, words: &[&str]) -> String {
        let mut command = self.reelworld();
        command.args(["starter", "new", "m1", "--all"]).args(words);
        succeed(&mut command)
    }

    fn update(&self, words: &[&str]) -> (Option<i32>, Value) {
        let mut command = self.reelworld();
        command.args(["starter", "update", "--json"]).args(words);
        let output = command.output().unwrap();
        let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), found)
    }

    /// Changes a file of the course's own starter.
    fn mend(&self, path: &str, change: impl FnOnce(String) -> String) {
        let file = self.path("course/templates").join(path);
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(path);
        let before = fs::read_to_string(if file.exists() { &file } else { &built_in }).unwrap_or_default();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, change(before)).unwrap();
    }
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn git(dir: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=a", "-c", "user.email=a@b.c"]);
    succeed(command.args(words))
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {}", file.display());
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

fn commit(dir: &Path, subject: &str) {
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "-m", subject]);
}

fn file_of<'a>(result: &'a Value, path: &str) -> &'a Value {
    let files = result["files"].as_array().unwrap();
    files
        .iter()
        .find(|file| file["path"] == path)
        .unwrap_or_else(|| panic!("{path} is not in {result}"))
}

/// A program in the place of git that counts how often it is called.
fn counting_git(dir: &Path) -> (PathBuf, PathBuf) {
    let real = succeed(Command::new("sh").args(["-c", "command -v git"]));
    let (bin, log) = (dir.join("bin"), dir.join("calls"));
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\nexec {} \"$@\"\n",
        log.display(),
        real.trim()
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    (bin, log)
}

#[test]
fn every_team_of_a_course_gets_its_own_repository() {
    let class = Class::new(40);
    let (bin, log) = counting_git(class.0.path());
    // What the user of the machine has set must not get into anybody's repository.
    let home = class.path("home");
    let hooks = home.join("hooks");
    fs::create_dir_all(&hooks).unwrap();
    let trap = class.path("executed");
    for name in ["pre-commit", "post-commit", "commit-msg"] {
        fs::write(hooks.join(name), format!("#!/bin/sh\ntouch {}\n", trap.display())).unwrap();
        fs::set_permissions(hooks.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(
        home.join(".gitconfig"),
        format!(
            "[user]\nname = Somebody\nemail = some@body.example\n[core]\nhooksPath = {0}\nautocrlf = true\n[init]\ntemplateDir = {0}\ndefaultBranch = odd\n[commit]\ngpgsign = true\n",
            hooks.display()
        ),
    )
    .unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    let mut command = class.reelworld();
    command
        .args(["starter", "new", "m1", "--all"])
        .env("PATH", &path)
        .env("HOME", &home)
        .env("GIT_AUTHOR_NAME", "Somebody");
    let told = succeed(&mut command);
    assert!(told.contains("40 repositories with "), "{told}");
    assert!(!trap.exists(), "a hook of the user's has run");
    let calls = fs::read_to_string(&log).unwrap();
    assert_eq!(
        calls.lines().count(),
        3 * 40,
        "git is called three times for each"
    );

    for number in [1, 7, 40] {
        let dir = class.path(&format!("repos/team{number}"));
        assert_eq!(git(&dir, &["rev-list", "--count", "main"]).trim(), "1");
        assert_eq!(git(&dir, &["log", "-1", "--format=%an"]).trim(), "reelworld");
        assert_eq!(git(&dir, &["status", "--porcelain"]), "");
        let readme = fs::read_to_string(dir.join("README.md")).unwrap();
        for own in [
            format!("# team{number}: "),
            format!("movielog{number}"),
            format!("host{number}.example.edu:{}", 9000 + number),
            format!("PORT={}", 9000 + number),
        ] {
            assert!(readme.contains(&own), "{own} is not in\n{readme}");
        }
        // What opens the team's page is there, is nobody else's, and is in no commit.
        let secrets = dir.join(".env");
        assert_eq!(
            fs::metadata(&secrets).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(&secrets).unwrap();
        let token = text.trim().strip_prefix("REELWORLD_TOKEN=").unwrap();
        assert_eq!(token.len(), 32);
        assert!(!git(&dir, &["ls-files"]).lines().any(|name| name == ".env"));
        let hooks = fs::read_dir(dir.join(".git/hooks")).map_or(0, Iterator::count);
        assert_eq!(hooks, 0);
    }
    let secrets =
        |number: usize| fs::read_to_string(class.path(&format!("repos/team{number}/.env"))).unwrap();
    assert_ne!(secrets(1), secrets(2));

    // A team that comes late gets its own; nothing of the others is touched.
    fs::remove_dir_all(class.path("repos/team7")).unwrap();
    fs::write(class.path("repos/team8/thesis.txt"), "a year's work").unwrap();
    let told = class.make(&[]);
    assert!(told.contains("1 repositories with "), "{told}");
    assert_eq!(told.matches("there already, left alone").count(), 39, "{told}");
    assert!(class.path("repos/team8/thesis.txt").exists());
}

#[test]
fn repositories_are_pushed_where_they_are_kept_or_it_is_said_how() {
    let class = Class::new(2);
    for number in [1, 2] {
        fs::create_dir_all(class.path("kept")).unwrap();
        let place = class.path(&format!("kept/team{number}.git"));
        succeed(Command::new("git").args(["init", "-q", "--bare"]).arg(&place));
    }
    let remote = format!("{}/{{team}}.git", class.path("kept").display());
    let told = class.make(&["--dir", "said", "--remote", &remote]);
    let how = format!(
        "to push it: git -C said/team2 push {} main",
        class.path("kept/team2.git").display()
    );
    assert!(told.contains(&how), "{told}");
    let kept = class.path("kept/team2.git");
    assert_eq!(git(&kept, &["branch", "--list"]), "");
    class.make(&["--remote", &remote, "--push"]);
    assert_eq!(git(&kept, &["rev-list", "--count", "main"]).trim(), "1");
    let same = class
        .reelworld()
        .args(["starter", "new", "m1", "--all", "--remote", "/x/y.git"])
        .output()
        .unwrap();
    assert_eq!(same.status.code(), Some(2), "{same:?}");

    // An update goes there as well, past whatever the clone's own settings say.
    class.mend("m1/train.py", |text| {
        text.replace("Makes the model", "Makes a model")
    });
    let dir = class.path("repos/team2");
    let trap = class.path("executed");
    git(
        &dir,
        &["config", "core.sshCommand", &format!("touch {}", trap.display())],
    );
    let (code, _) = class.update(&["repos/team2", "--remote", &remote, "--push"]);
    assert_eq!(code, Some(0));
    assert!(git(&kept, &["branch", "--list"]).contains("starter/m1-"));
    assert!(!trap.exists());
}

#[test]
fn what_is_mended_once_is_mended_in_every_repository() {
    let class = Class::new(5);
    class.make(&[]);
    let dirs: Vec<PathBuf> = (1..=5)
        .map(|number| class.path(&format!("repos/team{number}")))
        .collect();
    // One has changed another place, one the same, one has moved the file, one has deleted it, one has done nothing.
    let far = "\"\"\"Makes the model: for now, the movies that the outside world votes for.";
    let near = "sorted(movies, key=votes, reverse=True)[:20]";
    edit(
        &dirs[0].join("train.py"),
        far,
        "\"\"\"Makes our own model, as the report says.",
    );
    edit(&dirs[1].join("train.py"), near, "sorted(movies, key=votes)[-20:]");
    fs::create_dir(dirs[2].join("model")).unwrap();
    git(&dirs[2], &["mv", "train.py", "model/train.py"]);
    git(&dirs[3], &["rm", "-q", "train.py"]);
    for dir in &dirs[..4] {
        commit(dir, "Make it our own");
    }
    let heads: Vec<String> = dirs.iter().map(|dir| git(dir, &["rev-parse", "main"])).collect();
    let mended = "sorted(movies, key=votes, reverse=True)[:21][:20]";
    class.mend("m1/train.py", |text| text.replace(near, mended));
    class.mend("m1/tests/test_more.py", |_| "# one more\n".to_owned());
    let all: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (code, told) = class.update(&all);
    assert_eq!(code, Some(1), "one has a conflict to solve");
    let results = told["repositories"].as_array().unwrap();
    for (result, outcome) in results
        .iter()
        .zip(["merged", "conflicts", "merged", "merged", "merged"])
    {
        assert_eq!(result["outcome"], outcome, "{result}");
        assert_eq!(result["onto"], "main");
        assert_eq!(file_of(result, "tests/test_more.py")["what"], "added");
    }
    assert_eq!(file_of(&results[0], "train.py")["what"], "merged");
    assert_eq!(file_of(&results[1], "train.py")["what"], "conflict");
    assert_eq!(file_of(&results[2], "model/train.py")["what"], "updated");
    assert_eq!(file_of(&results[3], "train.py")["what"], "left");
    let branch = results[0]["branch"].as_str().unwrap();
    let show = |place: usize, path: &str| git(&dirs[place], &["show", &format!("{branch}:{path}")]);
    let first = show(0, "train.py");
    assert!(
        first.contains("our own model") && first.contains(mended),
        "{first}"
    );
    let second = show(1, "train.py");
    assert!(second.contains("<<<<<<< yours\n") && second.contains("[-20:]") && second.contains(mended));
    assert!(show(2, "model/train.py").contains(mended));
    for (dir, head) in dirs.iter().zip(&heads) {
        assert_eq!(
            git(dir, &["rev-parse", "main"]),
            *head,
            "what is checked out stays"
        );
        assert_eq!(git(dir, &["status", "--porcelain"]), "");
        assert_eq!(git(dir, &["rev-parse", &format!("{branch}^")]), *head);
        git(dir, &["fsck", "--strict", "--no-dangling"]);
    }

    // Once more does nothing; once taken, there is nothing more to take.
    let (code, told) = class.update(&all);
    assert_eq!(
        (code, &told["repositories"][4]["outcome"]),
        (Some(0), &"waiting".into())
    );
    git(&dirs[4], &["merge", "-q", branch]);
    let (_, told) = class.update(&all[4..]);
    assert_eq!(told["repositories"][0]["outcome"], "up_to_date");
    // And the next mending goes out from what was taken.
    class.mend("m1/tests/test_more.py", |text| format!("{text}# and another\n"));
    let (_, told) = class.update(&all[4..]);
    assert_eq!(
        file_of(&told["repositories"][0], "tests/test_more.py")["what"],
        "updated"
    );
    assert_eq!(told["repositories"][0]["files"].as_array().unwrap().len(), 1);
}

#[test]
fn a_repository_is_brought_to_the_next_milestone_with_what_the_team_has_made_of_the_last() {
    let class = Class::new(1);
    class.make(&[]);
    let dir = class.path("repos/team1");
    edit(
        &dir.join("company.py"),
        "def movies():",
        "def movies():  # ours\n",
    );
    fs::write(dir.join("model.py"), "# a model of our own\n").unwrap();
    commit(&dir, "Read movies in our own way");
    let (code, told) = class.update(&["repos/team1", "--milestone", "m2"]);
    assert_eq!(code, Some(0), "{told}");
    let result = &told["repositories"][0];
    assert_eq!(file_of(result, "evaluate.py")["what"], "added");
    assert_eq!(file_of(result, "HANDOUT.md")["what"], "updated");
    git(&dir, &["merge", "-q", result["branch"].as_str().unwrap()]);
    assert!(
        fs::read_to_string(dir.join("company.py"))
            .unwrap()
            .contains("# ours")
    );
    assert!(dir.join("model.py").exists());
    succeed(Command::new("python3").arg("train.py").current_dir(&dir));
    succeed(
        Command::new("python3")
            .args(["-m", "unittest", "discover", "-s", "tests"])
            .current_dir(&dir),
    );
    let (_, told) = class.update(&["repos/team1", "--milestone", "m1"]);
    assert_eq!(
        told["repositories"][0]["outcome"], "refused",
        "there is no way back"
    );
}

#[test]
fn what_an_update_has_merged_is_what_the_next_begins_with() {
    let class = Class::new(1);
    class.make(&[]);
    let dir = class.path("repos/team1");
    let take = |words: &[&str]| {
        let (code, told) = class.update(&[&["repos/team1"], words].concat());
        assert_eq!(code, Some(0), "{told}");
        let result = told["repositories"][0].clone();
        git(&dir, &["merge", "-q", result["branch"].as_str().unwrap()]);
        result
    };
    // A line of the team's above, one of the starter's below, time and again.
    let text = fs::read_to_string(dir.join("reelworld.toml")).unwrap();
    fs::write(dir.join("reelworld.toml"), format!("# ours\n{text}")).unwrap();
    fs::create_dir(dir.join("model")).unwrap();
    git(&dir, &["mv", "company.py", "model/company.py"]);
    commit(&dir, "Make it our own");
    class.mend("m1/company.py", |text| format!("{text}# one\n"));
    let first = take(&["--milestone", "m2"]);
    assert_eq!(file_of(&first, "reelworld.toml")["what"], "merged");
    assert_eq!(file_of(&first, "model/company.py")["what"], "updated");
    let text = fs::read_to_string(dir.join("model/company.py")).unwrap();
    fs::write(dir.join("model/company.py"), format!("# ours\n{text}")).unwrap();
    commit(&dir, "Make it more our own");
    class.mend("m1/company.py", |text| format!("{text}# two\n"));
    let second = take(&["--milestone", "m3"]);
    assert_eq!(file_of(&second, "reelworld.toml")["what"], "merged");
    assert_eq!(file_of(&second, "model/company.py")["what"], "merged");
    let text = fs::read_to_string(dir.join("model/company.py")).unwrap();
    assert!(
        text.starts_with("# ours\n") && text.ends_with("# one\n# two\n"),
        "{text}"
    );
    // What the company gave out is in the history, in commits that are nobody's of the team.
    let given = git(&dir, &["rev-list", "--max-parents=0", "--format=%an", "HEAD"]);
    assert_eq!(given.matches("\nreelworld").count(), 3, "{given}");
    git(&dir, &["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn what_an_update_had_to_leave_out_comes_again() {
    let class = Class::new(1);
    class.make(&[]);
    let dir = class.path("repos/team1");
    fs::write(dir.join("deploy"), "what we do on Fridays\n").unwrap();
    let text = fs::read_to_string(dir.join("company.py")).unwrap();
    let marked = format!("<<<<<<< HEAD\n# ours\n=======\n# theirs\n>>>>>>> other\n{text}");
    fs::write(dir.join("company.py"), marked).unwrap();
    commit(&dir, "Make it our own");
    class.mend("m1/company.py", |text| format!("{text}# one\n"));
    let (code, told) = class.update(&["repos/team1", "--milestone", "m3"]);
    assert_eq!(code, Some(1), "markers are somebody's to solve: {told}");
    let result = &told["repositories"][0];
    assert_eq!(file_of(result, "company.py")["what"], "left");
    assert_eq!(file_of(result, "deploy/nginx.conf")["what"], "left");
    git(&dir, &["merge", "-q", result["branch"].as_str().unwrap()]);
    // Nothing new, and what is left out is not forgotten.
    let (code, told) = class.update(&["repos/team1"]);
    let result = &told["repositories"][0];
    assert_eq!((code, &result["outcome"]), (Some(1), &"up_to_date".into()));
    assert_eq!(file_of(result, "deploy/nginx.conf")["what"], "left");
    git(&dir, &["mv", "deploy", "fridays.txt"]);
    fs::write(dir.join("company.py"), format!("# ours\n{text}")).unwrap();
    commit(&dir, "Make way");
    let (code, told) = class.update(&["repos/team1"]);
    assert_eq!(code, Some(0), "{told}");
    let result = &told["repositories"][0];
    assert_eq!(file_of(result, "company.py")["what"], "merged");
    assert_eq!(file_of(result, "deploy/nginx.conf")["what"], "added");
    git(&dir, &["merge", "-q", result["branch"].as_str().unwrap()]);
    let (code, told) = class.update(&["repos/team1"]);
    assert_eq!(
        (code, &told["repositories"][0]["files"]),
        (Some(0), &Value::Array(Vec::new()))
    );
}

fn why(class: &Class) -> String {
    let (code, told) = class.update(&["repos/team1"]);
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told["repositories"][0]["outcome"], "refused", "{told}");
    told["repositories"][0]["why"].as_str().unwrap().to_owned()
}

#[test]
fn a_repository_in_which_somebody_is_at_work_is_refused_with_the_reason() {
    let class = Class::new(1);
    class.make(&[]);
    let dir = class.path("repos/team1");
    class.mend("m1/train.py", |text| format!("{text}# newer\n"));
    class.mend("m1/notes.md", |_| "new\n".to_owned());
    let branches = || git(&dir, &["branch", "--list"]);
    let before = branches();

    fs::write(dir.join("service.py"), "# at work\n").unwrap();
    assert!(why(&class).contains("not committed: `service.py`"));
    git(&dir, &["checkout", "-q", "service.py"]);
    fs::remove_file(dir.join("company.py")).unwrap();
    assert!(why(&class).contains("`company.py`"));
    git(&dir, &["checkout", "-q", "company.py"]);
    fs::write(dir.join("notes.md"), "our own\n").unwrap();
    assert!(why(&class).contains("`notes.md`"));
    fs::remove_file(dir.join("notes.md")).unwrap();
    fs::write(dir.join(".git/MERGE_HEAD"), "x").unwrap();
    assert!(why(&class).contains("a merge is under way"));
    fs::remove_file(dir.join(".git/MERGE_HEAD")).unwrap();

    let record = dir.join(".starter.toml");
    let whole = fs::read_to_string(&record).unwrap();
    git(&dir, &["rm", "-q", ".starter.toml"]);
    commit(&dir, "Tidy up the top of the repository");
    assert!(why(&class).contains("`.starter.toml`"));
    fs::write(&record, whole.replace("\"train.py\"", "\"../train.py\"")).unwrap();
    commit(&dir, "Bring it back with another path");
    assert!(why(&class).contains("no path inside the repository"));
    let world = whole.lines().find(|line| line.starts_with("world = ")).unwrap();
    fs::write(&record, whole.replace(world, "world = \"another\"")).unwrap();
    commit(&dir, "Bring it back with another world");
    assert!(why(&class).contains("from another world"));
    assert_eq!(branches(), before, "nothing was done");

    // A file of the team's that nobody asked for is in nobody's way.
    fs::write(&record, whole).unwrap();
    commit(&dir, "Bring the record back as it was");
    fs::write(dir.join("scratch.txt"), "x").unwrap();
    let (code, _) = class.update(&["repos/team1"]);
    assert_eq!(code, Some(0));
    fs::create_dir(class.path("repos/none")).unwrap();
    let (_, told) = class.update(&["repos/none"]);
    assert!(
        told["repositories"][0]["why"]
            .as_str()
            .unwrap()
            .contains("no git repository")
    );
}

#[test]
fn nothing_that_is_not_committed_has_to_give_way() {
    let class = Class::new(1);
    class.make(&[]);
    let dir = class.path("repos/team1");
    // A file that git ignores, where the starter brings a folder: taking the branch would take it away without a word.
    let ignored = fs::read_to_string(dir.join(".gitignore")).unwrap();
    fs::write(dir.join(".gitignore"), format!("{ignored}/deploy\n")).unwrap();
    commit(&dir, "Keep our notes to ourselves");
    fs::write(dir.join("deploy"), "notes\n").unwrap();
    let (code, told) = class.update(&["repos/team1", "--milestone", "m3"]);
    let result = &told["repositories"][0];
    assert_eq!((code, &result["outcome"]), (Some(1), &"refused".into()), "{told}");
    assert!(result["why"].as_str().unwrap().contains("`deploy`"), "{told}");
    fs::remove_file(dir.join("deploy")).unwrap();
    // A branch with the name of a folder of branches, which only git's table of references knows of.
    git(&dir, &["branch", "starter"]);
    git(&dir, &["pack-refs", "--all"]);
    let (_, told) = class.update(&["repos/team1", "--milestone", "m3"]);
    let why = told["repositories"][0]["why"].as_str().unwrap();
    assert!(why.contains("the branch `starter` is in the way"), "{told}");
}

#[test]
fn nothing_of_a_repository_is_run_by_an_update() {
    let class = Class::new(1);
    class.make(&[]);
    let dir = class.path("repos/team1");
    let (trace, script) = (class.path("executed"), class.path("evil.sh"));
    fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", trace.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.join(".gitattributes"), "* filter=evil diff=evil merge=evil\n").unwrap();
    edit(&dir.join("train.py"), "Makes the model", "Makes our model");
    commit(&dir, "Name programs in the attributes");
    let evil = script.display().to_string();
    for key in [
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "merge.evil.driver",
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "gpg.program",
        "commit.template",
        "alias.status",
        "alias.fast-import",
    ] {
        git(&dir, &["config", key, &evil]);
    }
    git(&dir, &["config", "commit.gpgsign", "true"]);
    for hook in [
        "pre-commit",
        "post-commit",
        "reference-transaction",
        "post-index-change",
        "post-rewrite",
        "update",
    ] {
        fs::create_dir_all(dir.join(".git/hooks")).unwrap();
        fs::copy(&script, dir.join(".git/hooks").join(hook)).unwrap();
    }
    // Whoever asks git in the repository itself falls into the trap.
    let _any: Output = Command::new("git")
        .arg("-C")
        .arg(&dir)
        .arg("status")
        .output()
        .unwrap();
    assert!(trace.exists(), "the trap is none");
    fs::remove_file(&trace).unwrap();
    class.mend("m1/train.py", |text| format!("{text}# newer\n"));
    let (code, told) = class.update(&["repos/team1"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(file_of(&told["repositories"][0], "train.py")["what"], "merged");
    assert!(
        !trace.exists(),
        "a setting or a hook of the repository has run a program"
    );
}
