//! Services built into the program: they stand in where there is no Python, and are targets in tests.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a service answers with.
#[derive(Debug, Clone)]
pub enum Answers {
    /// The same list for everybody.
    Same(Vec<String>),
    /// A list for each user who has one, and the same list for the others.
    Personal(BTreeMap<u32, Vec<String>>, Vec<String>),
    /// Another twenty of the list at each call.
    Random(Vec<String>),
    /// Status 200 and an error sentence, as careless handlers send.
    Sentence(String),
}

/// A running service; dropping it ends it.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long a connection may lie idle before its thread looks whether the service has ended.
const IDLE: Duration = Duration::from_millis(100);
/// The most bytes of a request line: ours are below four hundred.
const MAX_LINE: u64 = 8 << 10;

impl StandIn {
    /// Starts a service on a free port of the loopback.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn start(answers: Answers) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let answers = Arc::new((answers, AtomicU64::new(0)));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), answers, seen) = (stream, Arc::clone(&answers), Arc::clone(&seen)) else {
                    continue;
                };
                std::thread::spawn(move || {
                    // A connection that breaks is the other side's business.
                    drop(serve(&stream, &answers.0, &answers.1, &seen));
                });
            }
        });
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The listener wakes up for one more connection, sees the flag and ends.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(stream: &TcpStream, answers: &Answers, calls: &AtomicU64, stop: &AtomicBool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !stop.load(Ordering::Relaxed) {
        match io::Read::take(&mut reader, MAX_LINE).read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => return Err(error),
        }
        let mut header = String::new();
        while io::Read::take(&mut reader, MAX_LINE).read_line(&mut header)? > 2 {
            header.clear();
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let (status, body) = answer(path, answers, calls.fetch_add(1, Ordering::Relaxed));
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut writer = stream;
        writer.write_all(text.as_bytes())?;
        line.clear();
    }
    Ok(())
}

fn answer(path: &str, answers: &Answers, call: u64) -> (&'static str, String) {
    let Some(id) = path.strip_prefix("/recommend/") else {
        return ("404 Not Found", "not found".to_owned());
    };
    let Ok(user) = id.parse::<u32>() else {
        return ("400 Bad Request", "the user id must be a number".to_owned());
    };
    let list = match answers {
        Answers::Same(list) => list.join(","),
        Answers::Personal(lists, rest) => lists.get(&user).unwrap_or(rest).join(","),
        Answers::Random(all) => {
            // A step that is odd and no small number walks through the list in an order that nobody would call ordered.
            let first = (call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17) as usize;
            let step = 7919 % all.len().max(1);
            let ids: Vec<&str> = (0..20.min(all.len()))
                .map(|place| all[(first + place * step.max(1)) % all.len()].as_str())
                .collect();
            ids.join(",")
        }
        Answers::Sentence(text) => text.clone(),
    };
    ("200 OK", list)
}
