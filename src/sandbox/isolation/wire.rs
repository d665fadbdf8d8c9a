//! Messages between the grader, the keeper outside a sandbox and the agent inside it: one packet each, with descriptors.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::bounds::Bounds;
use super::super::isolate::Fence;

/// The longest message: a command with its environment is a hundredth of it, and the system's buffer holds three.
const MOST_BYTES: usize = 64 << 10;
/// The most descriptors in one message; the system allows 253.
pub(super) const MOST_FDS: usize = 64;

/// What the grader wants of the keeper, first of all.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The program that makes the sandbox.
    pub(super) bwrap: String,
    /// What may be used.
    pub(super) bounds: Bounds,
    /// Folders of this machine that are seen inside, read-only: where they are, and where they are seen.
    pub(super) binds: Vec<(String, String)>,
    /// The container that it is instead of a sandbox of bubblewrap's.
    pub(super) container: Option<Container>,
}

/// What a container is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Container {
    /// The program that runs containers, with the options of every call.
    pub(super) tool: Vec<String>,
    /// The folder that the image is built of.
    pub(super) context: String,
}

/// What the grader wants of the keeper later on. The end of the connection is the word to end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToKeeper {
    /// Bound the memory to so many bytes from now on.
    Memory(u64),
    /// Tell what the bounds have cost so far.
    Toll,
}

/// What the keeper tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromKeeper {
    /// It has been started, and this holds it.
    Started(Held),
    /// It cannot be started, and why.
    Refused(String),
    /// What the bounds have cost so far.
    Toll(Toll),
}

/// What the bounds of a sandbox have cost its programs so far; none where nobody counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Toll {
    /// Processes that were killed for want of memory.
    pub(super) killed: Option<u64>,
    /// Processes and threads that were not begun, as there were as many as may be.
    pub(super) refused: Option<u64>,
}

/// What holds a sandbox beside its namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in super::super) struct Held {
    /// The user of this machine that its programs are, if it is not the grader's own.
    pub(in super::super) user: Option<u32>,
    /// Which kind of control group there is: `v1`, `v2`.
    pub(in super::super) cgroup: Option<String>,
    /// What the control group bounds: `memory`, `pids`, `cpu`.
    pub(in super::super) bounded: Vec<String>,
}

/// What the grader wants of the agent. Answers carry the number of the question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToAgent {
    /// Bounds for all commands that follow.
    Bounds {
        bounds: Bounds,
        /// Whether a process's own memory must be bounded because nothing bounds the sum.
        memory: bool,
        /// Where folders of this machine are seen.
        shown: Vec<String>,
    },
    /// Unpack what comes through the descriptor into the repository's place.
    Unpack { id: u32 },
    /// Run a command, with the descriptor as its output.
    Run {
        id: u32,
        words: Vec<String>,
        env: BTreeMap<String, String>,
    },
    /// End a command with all that came from it; without another command running, end everything.
    End { id: u32 },
    /// Send sockets that are connected to nothing yet.
    Sockets { count: usize },
    /// Listen on a port of the loopback and send the listener.
    Listen { id: u32, port: u16 },
    /// Tell the ports on which anybody listens.
    Ports { id: u32 },
    /// Tell whether a name is a plain file of the repository.
    IsFile { id: u32, name: String },
    /// Send a plain file of the repository, open for reading.
    Open { id: u32, name: String },
}

/// What the agent tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromAgent {
    /// It is there.
    Ready(Fence),
    /// Everything is unpacked, or why not.
    Unpacked { id: u32, fault: Option<String> },
    /// A command has ended, in the leash's words.
    Ended { id: u32, exit: String },
    /// What was to be ended has ended.
    Over { id: u32 },
    /// Sockets come along.
    Sockets,
    /// The listener comes along, or why not.
    Listening { id: u32, fault: Option<String> },
    /// These ports have listeners.
    Ports { id: u32, ports: Vec<u16> },
    /// Whether it is a file.
    IsFile { id: u32, is: bool },
    /// The file comes along, if it is one.
    Opened { id: u32 },
}

/// Makes the two ends of a connection that keeps messages apart.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends a message with descriptors.
pub(super) fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > MOST_BYTES {
        return Err(io::Error::other(format!(
            "a message to the sandbox is larger than {} KiB",
            MOST_BYTES >> 10
        )));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a message; none when the other side is gone. Descriptors are closed when another program is executed.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let read = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(&socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    if read == 0 {
        return Ok(None);
    }
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let message = serde_json::from_slice(&bytes[..read]).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptors_and_the_end_is_told() {
        let (near, far) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&near, &ToAgent::Unpack { id: 7 }, &[writer.as_fd()]).unwrap();
        drop(writer);
        let (message, mut fds) = receive::<ToAgent>(&far).unwrap().unwrap();
        assert!(matches!(message, ToAgent::Unpack { id: 7 }));
        let mut writer = File::from(fds.pop().unwrap());
        assert!(fds.is_empty());
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        drop(near);
        assert!(receive::<ToAgent>(&far).unwrap().is_none());
    }

    #[test]
    fn a_command_with_all_that_a_submissions_file_can_say_is_no_message_too_long() {
        let (near, _far) = pair().unwrap();
        // What takes most room in the message: a character that is written as two.
        let long = "\"".repeat(super::super::super::spec::MOST_BYTES);
        let (words, env) = (vec![long], BTreeMap::new());
        send(&near, &ToAgent::Run { id: 1, words, env }, &[]).unwrap();
    }

    #[test]
    fn a_message_that_is_too_long_is_an_error_and_not_cut() {
        let (near, _far) = pair().unwrap();
        let name = "x".repeat(MOST_BYTES);
        let error = send(&near, &ToAgent::IsFile { id: 1, name }, &[]).unwrap_err();
        assert!(error.to_string().contains("64 KiB"));
    }
}
