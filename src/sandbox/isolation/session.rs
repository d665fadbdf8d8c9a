//! A sandbox that lives, as the grader holds it: commands in, ends and sockets out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::super::bounds::Bounds;
use super::super::isolate::{Fence, Lost};
use super::super::leash::Exit;
use super::super::output::Tail;
use super::files;
use super::wire::{self, Container, FromAgent, FromKeeper, Held, MOST_FDS, Order, ToAgent, ToKeeper, Toll};
use crate::clock::Clock;

/// How long a sandbox may take to come to be, and its agent to answer a question.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the keeper may take to end everything.
const END: Duration = Duration::from_secs(8);
/// How often we look whether it has.
const LOOK: Duration = Duration::from_millis(2);
/// How long we wait for what an agent has said before it was gone; its keeper, which lives on, could say more.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Sockets that are kept ready, and how few of them are left when more are asked for.
const STOCK: usize = 2 * MOST_FDS;
const LOW: usize = MOST_FDS;
/// The most that is read of what the keeper and bubblewrap say when they fail.
const SAID_BYTES: u64 = 4 << 10;

/// What a sandbox is made of.
#[derive(Debug, Clone)]
pub(in super::super) struct Plan {
    /// This program.
    pub(in super::super) program: PathBuf,
    /// Bubblewrap.
    pub(in super::super) bwrap: PathBuf,
    /// What may be used.
    pub(in super::super) bounds: Bounds,
    /// Folders that are seen inside.
    pub(in super::super) binds: Vec<(PathBuf, String)>,
    /// The program that runs containers, with its options, where commands run in containers of an image.
    pub(in super::super) container: Option<Vec<String>>,
}

/// A sandbox that lives; dropping it ends everything in it.
#[derive(Debug)]
pub(in super::super) struct Session {
    keeper: Mutex<Keeper>,
    agent: Arc<Agent>,
    next: AtomicU32,
    held: Held,
    fence: Fence,
    /// What the keeper and what it has started say while it lives: nobody of the submission does.
    told: Tail,
    /// What has ended it, once it has ended without our word.
    lost: OnceLock<Result<Exit, Lost>>,
    clock: Clock,
}

#[derive(Debug)]
struct Keeper {
    child: Child,
    /// Closing it is the word to end.
    rein: Option<OwnedFd>,
    /// Processes that were killed for want of memory when it was last asked.
    killed: u64,
}

#[derive(Debug)]
struct Agent {
    control: OwnedFd,
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The agent is gone, and with it everybody inside.
    gone: bool,
    /// The agent has begun, with this.
    ready: Option<Fence>,
    ends: BTreeMap<u32, Exit>,
    answers: BTreeMap<u32, Answer>,
    sockets: Vec<OwnedFd>,
    /// Sockets that were asked for and have not come.
    coming: usize,
}

#[derive(Debug)]
enum Answer {
    Done(Option<String>),
    Listener(Result<TcpListener, String>),
    Ports(BTreeSet<u16>),
    Is(bool),
    File(Option<File>),
}

impl Session {
    /// Makes a sandbox and unpacks a submission in it.
    ///
    /// # Errors
    /// When this machine gives no sandbox, with what bubblewrap said; when the submission cannot be read or is too large.
    pub(in super::super) fn open(plan: &Plan, dir: Option<&Path>, clock: Clock) -> io::Result<Self> {
        files::raise()?;
        let (rein, keeper_end) = wire::pair()?;
        let (control, agent_end) = wire::pair()?;
        let mut child = Command::new(&plan.program)
            .arg(if plan.container.is_some() {
                "__container"
            } else {
                "__sandbox"
            })
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(keeper_end))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .ok_or_else(|| io::Error::other(format!("`{}` is no text", path.display())))
        };
        let order = Order {
            bwrap: text(&plan.bwrap)?,
            bounds: plan.bounds,
            binds: plan
                .binds
                .iter()
                .map(|(outside, inside)| Ok((text(outside)?, inside.clone())))
                .collect::<io::Result<_>>()?,
            container: match (&plan.container, dir) {
                (Some(tool), Some(dir)) => Some(Container {
                    tool: tool.clone(),
                    context: text(dir)?,
                }),
                _ => None,
            },
        };
        wire::send(&rein, &order, &[agent_end.as_fd()])?;
        drop(agent_end);
        let started = wire::receive::<FromKeeper>(&rein);
        let agent = Arc::new(Agent {
            control,
            state: Mutex::default(),
            told: Condvar::new(),
        });
        let listener = Arc::clone(&agent);
        std::thread::spawn(move || listener.listen());
        if let Ok(Some((FromKeeper::Started(held), _))) = &started {
            let memory = !held.bounded.iter().any(|name| name == "memory");
            let bounds = plan.bounds;
            let shown = plan.binds.iter().map(|(_, inside)| inside.clone()).collect();
            // An agent that never came to be is noticed below, where the reason is known.
            drop(wire::send(
                &agent.control,
                &ToAgent::Bounds {
                    bounds,
                    memory,
                    shown,
                },
                &[],
            ));
        }
        let ready = agent.wait(|state| state.ready);
        let (held, fence) = match (started, ready) {
            (Ok(Some((FromKeeper::Started(held), _))), Ok(fence)) => (held, fence),
            (Ok(Some((FromKeeper::Refused(why), _))), _) => return Err(io::Error::other(why)),
            (_, Ok(_)) => return Err(io::Error::other("the keeper of the sandbox ended too early")),
            (_, Err(_)) => {
                drop(rein);
                return Err(io::Error::other(said(&mut child)));
            }
        };
        // What the keeper says later must not fill a pipe.
        let told = Tail::default();
        if let Some(stderr) = child.stderr.take() {
            told.drain(stderr, None, clock);
        }
        let session = Self {
            keeper: Mutex::new(Keeper {
                child,
                rein: Some(rein),
                killed: 0,
            }),
            agent,
            next: AtomicU32::new(1),
            held,
            fence,
            told,
            lost: OnceLock::new(),
            clock,
        };
        if let Some(dir) = dir.filter(|_| plan.container.is_none()) {
            session.unpack(dir, &plan.bounds)?;
        }
        session.ask_sockets()?;
        Ok(session)
    }

    /// Returns what holds it.
    pub(in super::super) fn held(&self) -> &Held {
        &self.held
    }

    /// Returns what the kernel's Landlock does in it.
    pub(in super::super) fn fence(&self) -> Fence {
        self.fence
    }

    fn unpack(&self, dir: &Path, bounds: &Bounds) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        let id = self.number();
        self.say(&ToAgent::Unpack { id }, &[reader.as_fd()])?;
        drop(reader);
        let packed = super::pack::pack(
            dir,
            u64::from(bounds.disk_mib) << 20,
            bounds.files,
            BufWriter::with_capacity(256 << 10, File::from(OwnedFd::from(writer))),
        );
        // A broken pipe is told better by the one who broke it.
        if let Err(error) = packed
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error);
        }
        match self.answer(id)? {
            Answer::Done(None) => Ok(()),
            Answer::Done(Some(fault)) => Err(io::Error::other(format!(
                "the submission cannot be unpacked in its sandbox: {fault}"
            ))),
            _ => Err(unexpected()),
        }
    }

    /// Starts a command whose output goes to a pipe; returns its number.
    ///
    /// # Errors
    /// When the message cannot be sent.
    pub(in super::super) fn start(
        &self,
        words: &[String],
        env: &BTreeMap<String, String>,
        output: BorrowedFd<'_>,
    ) -> io::Result<u32> {
        let id = self.number();
        let (words, env) = (words.to_vec(), env.clone());
        self.say(&ToAgent::Run { id, words, env }, &[output])?;
        Ok(id)
    }

    /// Returns how a command ended, if it has.
    ///
    /// # Errors
    /// [`Lost`] when everything inside has ended, and nothing inside has brought that about.
    pub(in super::super) fn poll(&self, id: u32) -> io::Result<Option<Exit>> {
        let (exit, is_gone) = {
            let state = self.agent.lock();
            (state.ends.get(&id).copied(), state.gone)
        };
        Ok(match exit {
            // A shell tells of its child's end by a number; a main process may fail because a worker was ended.
            Some(Exit::Signalled(_) | Exit::Failure(_)) if self.was_memory() => Some(Exit::OutOfMemory),
            None if is_gone => Some(self.lost()?),
            other => other,
        })
    }

    /// Tells what has ended everything inside: the agent, which is the first process there, is gone, and we have not said so. No signal
    /// from inside reaches it, and it does not end by itself. What a submission can do is to use up its memory: the system may then end
    /// the agent as well as another, and the keeper knows.
    fn lost(&self) -> io::Result<Exit> {
        let lost = self.lost.get_or_init(|| {
            if self.was_memory() {
                return Ok(Exit::OutOfMemory);
            }
            self.told.settle(LAST_WORDS, self.clock);
            let (lines, _) = self.told.lines();
            Err(Lost::new(lines.last().map(String::as_str)))
        });
        lost.clone().map_err(io::Error::from)
    }

    /// Ends a command and returns how it ended.
    pub(in super::super) fn end(&self, id: u32) -> Exit {
        // It may have ended by itself; what it has left behind has not.
        let by_itself = self.poll(id).ok().flatten();
        let over = self
            .say(&ToAgent::End { id }, &[])
            .and_then(|()| self.answer(id))
            .and_then(|_| self.agent.wait(|state| state.ends.get(&id).copied()));
        by_itself.or(over.ok()).unwrap_or(Exit::Stopped)
    }

    /// Bounds the memory for the stage that follows.
    ///
    /// # Errors
    /// When the system refuses.
    pub(in super::super) fn set_memory(&self, mib: u32) -> io::Result<()> {
        let bytes = u64::from(mib) << 20;
        match self.ask_keeper(&ToKeeper::Memory(bytes))? {
            Some(FromKeeper::Refused(why)) => Err(io::Error::other(why)),
            _ => Ok(()),
        }
    }

    /// Tells whether a process was killed for want of memory since it was last asked.
    fn was_memory(&self) -> bool {
        let Some(killed) = self.toll().killed else {
            return false;
        };
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let more = killed > keeper.killed;
        keeper.killed = killed;
        more
    }

    /// Returns how many processes and threads were not begun, as there were as many as may be; none where nobody counts.
    pub(in super::super) fn refused(&self) -> Option<u64> {
        self.toll().refused
    }

    /// Returns what the bounds have cost so far; nothing where nobody can say.
    fn toll(&self) -> Toll {
        match self.ask_keeper(&ToKeeper::Toll) {
            Ok(Some(FromKeeper::Toll(toll))) => toll,
            _ => Toll::default(),
        }
    }

    fn ask_keeper(&self, word: &ToKeeper) -> io::Result<Option<FromKeeper>> {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rein) = &keeper.rein else { return Ok(None) };
        wire::send(rein, word, &[])?;
        Ok(wire::receive(rein)?.map(|(answer, _)| answer))
    }

    /// Takes a socket of the inside that is connected to nothing; none while none has come, which is while the sandbox's own
    /// programs leave its agent no time.
    pub(in super::super) fn socket(&self) -> io::Result<Option<OwnedFd>> {
        let (socket, few) = {
            let mut state = self.agent.lock();
            if state.gone {
                drop(state);
                // Nobody is there, and that is the submission's doing, or else the network's of which ours is the care.
                self.lost()?;
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "everything in the sandbox has ended",
                ));
            }
            (state.sockets.pop(), state.sockets.len() + state.coming < LOW)
        };
        if few {
            self.ask_sockets()?;
        }
        Ok(socket)
    }

    fn ask_sockets(&self) -> io::Result<()> {
        let count = {
            let mut state = self.agent.lock();
            let missing = STOCK.saturating_sub(state.sockets.len() + state.coming);
            state.coming += missing;
            missing
        };
        let mut left = count;
        while left > 0 {
            let count = left.min(MOST_FDS);
            self.say(&ToAgent::Sockets { count }, &[])?;
            left -= count;
        }
        Ok(())
    }

    /// Listens on a port of the inside: who connects to it there reaches whoever accepts here.
    ///
    /// # Errors
    /// When somebody inside has the port.
    pub(in super::super) fn listen(&self, port: u16) -> io::Result<TcpListener> {
        let id = self.number();
        self.say(&ToAgent::Listen { id, port }, &[])?;
        match self.answer(id)? {
            Answer::Listener(Ok(listener)) => Ok(listener),
            Answer::Listener(Err(fault)) => Err(io::Error::other(format!(
                "cannot listen on port {port} of the sandbox: {fault}"
            ))),
            _ => Err(unexpected()),
        }
    }

    /// Returns the ports on which anybody inside listens.
    pub(in super::super) fn ports(&self) -> BTreeSet<u16> {
        let id = self.number();
        match self
            .say(&ToAgent::Ports { id }, &[])
            .and_then(|()| self.answer(id))
        {
            Ok(Answer::Ports(ports)) => ports,
            _ => BTreeSet::new(),
        }
    }

    /// Tells whether a name is a plain file of the repository.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub(in super::super) fn is_file(&self, name: &str) -> io::Result<bool> {
        let (id, name) = (self.number(), name.to_owned());
        self.say(&ToAgent::IsFile { id, name }, &[])?;
        match self.answer(id)? {
            Answer::Is(is) => Ok(is),
            _ => Err(unexpected()),
        }
    }

    /// Opens a plain file of the repository for reading; none if it is none.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub(in super::super) fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        let (id, name) = (self.number(), name.to_owned());
        self.say(&ToAgent::Open { id, name }, &[])?;
        match self.answer(id)? {
            Answer::File(file) => Ok(file),
            _ => Err(unexpected()),
        }
    }

    fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Says something to the agent; one that is gone cannot hear it, which is told by who waits for what comes of it.
    fn say(&self, word: &ToAgent, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match wire::send(&self.agent.control, word, fds) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn answer(&self, id: u32) -> io::Result<Answer> {
        let answer = self.agent.wait(|state| state.answers.remove(&id));
        if answer.is_err() && self.agent.lock().gone {
            self.lost()?;
        }
        answer
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.rein.take());
        let clock = Clock::start();
        while clock.elapsed() < END {
            if !matches!(keeper.child.try_wait(), Ok(None)) {
                return;
            }
            clock.sleep(LOOK);
        }
        drop(keeper.child.kill());
        drop(keeper.child.wait());
    }
}

impl Agent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is there, the agent is gone, or patience ends.
    fn wait<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> io::Result<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&mut state) {
                return Ok(found);
            }
            if state.gone {
                return Err(io::Error::other("everything in the sandbox has ended"));
            }
            let (again, waited) = self
                .told
                .wait_timeout(state, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Err(io::Error::other("the sandbox does not answer"));
            }
            state = again;
        }
    }

    /// Takes what the agent says until it is gone.
    fn listen(&self) {
        while let Ok(Some((word, fds))) = wire::receive::<FromAgent>(&self.control) {
            let mut state = self.lock();
            match word {
                FromAgent::Ready(fence) => state.ready = Some(fence),
                FromAgent::Unpacked { id, fault } => {
                    state.answers.insert(id, Answer::Done(fault));
                }
                FromAgent::Ended { id, exit } => {
                    // The first end counts: what comes after is only the answer to our word.
                    let exit = Exit::from_line(&exit).unwrap_or(Exit::Signalled(9));
                    state.ends.entry(id).or_insert(exit);
                }
                FromAgent::Over { id } => {
                    state.answers.insert(id, Answer::Done(None));
                }
                FromAgent::Sockets => {
                    state.coming = state.coming.saturating_sub(fds.len());
                    state.sockets.extend(fds);
                }
                FromAgent::Listening { id, fault } => {
                    let listener = match (fault, fds.into_iter().next()) {
                        (None, Some(fd)) => Ok(TcpListener::from(fd)),
                        (fault, _) => Err(fault.unwrap_or_else(|| "no listener came along".to_owned())),
                    };
                    state.answers.insert(id, Answer::Listener(listener));
                }
                FromAgent::Ports { id, ports } => {
                    state
                        .answers
                        .insert(id, Answer::Ports(ports.into_iter().collect()));
                }
                FromAgent::IsFile { id, is } => {
                    state.answers.insert(id, Answer::Is(is));
                }
                FromAgent::Opened { id } => {
                    let file = fds.into_iter().next().map(File::from);
                    state.answers.insert(id, Answer::File(file));
                }
            }
            drop(state);
            self.told.notify_all();
        }
        self.lock().gone = true;
        self.told.notify_all();
    }
}

fn unexpected() -> io::Error {
    io::Error::other("the sandbox answered what was not asked")
}

/// Returns what the keeper and bubblewrap said before they ended.
fn said(child: &mut Child) -> String {
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        drop(stderr.take(SAID_BYTES).read_to_end(&mut text));
    }
    drop(child.wait());
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() {
        "the sandbox ended before it began, without a word".to_owned()
    } else {
        text
    }
}
