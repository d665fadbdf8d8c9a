//! What is inside a sandbox and what is not, as options of bubblewrap.

use std::fs;
use std::path::Path;

/// Where a submission's repository is, inside; the build works here.
pub(in super::super) const REPOSITORY: &str = "/box/repository";
/// Where its home folder is, inside.
pub(in super::super) const HOME: &str = "/box/home";
/// Where the company's data is, inside.
pub(in super::super) const DATA: &str = "/data";
/// Where Python packages are that a build may install, inside.
pub(in super::super) const WHEELS: &str = "/wheels";
/// Where packages are that were made from a repository's requirements, inside.
pub(in super::super) const PACKAGES: &str = "/packages";
/// The number of the user and of the group inside, and the name.
const USER: &str = "1000";

/// Folders of the system that hold programs: a link is made again as a link, as most systems have them now.
const SYSTEM: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// What programs need of `/etc` and nothing secret is in: alternatives, certificates, the linker's cache, the clock's place, Java's settings.
const SETTINGS: [&str; 9] = [
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
];

/// Files that are made for the inside: the name, and what it holds. Nothing is looked up outside.
pub(super) const FILES: [(&str, &str); 6] = [
    (
        "/etc/passwd",
        "root:x:0:0:root:/:/bin/sh\nstudent:x:1000:1000:student:/box/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("/etc/group", "root:x:0:\nstudent:x:1000:\nnogroup:x:65534:\n"),
    (
        "/etc/hosts",
        "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost\n",
    ),
    (
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
    ),
    ("/etc/resolv.conf", ""),
    ("/etc/host.conf", "multi on\n"),
];

/// Places in memory that can be written: each is mounted by the agent, as bubblewrap can bound their bytes but not their files.
pub(super) const BOX: &str = "/box";
pub(super) const TMP: &str = "/tmp";
pub(super) const SHARED: &str = "/dev/shm";
/// The size of memory that programs share by name, in MiB.
pub(super) const SHARED_MIB: u32 = 16;

/// Descriptors that bubblewrap is given.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The contents of [`FILES`], in their order.
    pub(super) files: Vec<i32>,
    /// The program that is the agent.
    pub(super) agent: i32,
}

/// Returns the options, each a word, and the agent's command after them.
pub(super) fn options(binds: &[(String, String)], numbers: &Numbers) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |all: &[&str]| words.extend(all.iter().map(|word| (*word).to_owned()));
    add(&["--unshare-all", "--unshare-user", "--disable-userns"]);
    add(&["--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]);
    add(&["--uid", USER, "--gid", USER, "--hostname", "sandbox"]);
    add(&["--ro-bind", "/usr", "/usr"]);
    for folder in SYSTEM {
        match fs::read_link(folder) {
            Ok(target) => add(&["--symlink", &target.to_string_lossy(), folder]),
            Err(_) => add(&["--ro-bind-try", folder, folder]),
        }
    }
    for path in SETTINGS {
        add(&["--ro-bind-try", path, path]);
    }
    for java in java_settings() {
        add(&["--ro-bind-try", &java, &java]);
    }
    // Written into what is mounted at the top, which is read-only afterwards. A mount for each takes longer: bubblewrap reads the list
    // of all mounts after every one.
    for ((path, _), number) in FILES.iter().zip(&numbers.files) {
        add(&["--file", &number.to_string(), path]);
    }
    add(&["--proc", "/proc", "--dev", "/dev"]);
    add(&["--dir", BOX, "--dir", TMP]);
    for (outside, inside) in binds {
        add(&["--ro-bind", outside, inside]);
    }
    add(&["--remount-ro", "/dev", "--remount-ro", "/"]);
    // For the mounts of the agent, which gives it away before anything else runs.
    add(&["--cap-add", "CAP_SYS_ADMIN"]);
    add(&["--chdir", "/", "--"]);
    add(&[&format!("/proc/self/fd/{}", numbers.agent), super::INSIDE]);
    words
}

/// Java reads its settings through links from `/usr` into `/etc`.
fn java_settings() -> Vec<String> {
    let entries = fs::read_dir("/etc").into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("java-") && Path::new("/etc").join(name).is_dir())
        .map(|name| format!("/etc/{name}"))
        .collect();
    found.sort();
    found
}
