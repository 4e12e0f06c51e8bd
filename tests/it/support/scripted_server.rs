//! An HTTP server on loopback with scripted answers. It records its requests.
//!
//! It is also a simple proxy: after `CONNECT` it answers for any host.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One request as it came.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// `GET`.
    pub method: String,
    /// `/path?query`, or `host:port` for CONNECT.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, by its `Content-Length`.
    pub body: Vec<u8>,
    /// Which connection it came over, from 0.
    pub connection: usize,
}

impl Recorded {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// With `Content-Length`, all of it.
    Whole,
    /// In chunks of this many bytes.
    Chunked(usize),
    /// With the full length in the header, but the connection is closed after this many bytes of the body.
    Truncated(usize),
    /// With the full length in the header, but the connection is reset after this many bytes of the body.
    Reset(usize),
    /// The connection is reset before any answer.
    ResetAtOnce,
    /// This many bytes of the body, then silence until the client gives up.
    Stalled(usize),
    /// Silence from the start.
    Silent,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delivery: Delivery,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: Vec::new(), body: body.into(), delivery: Delivery::Whole }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn delivered(mut self, delivery: Delivery) -> Reply {
        self.delivery = delivery;
        self
    }

    /// The head of the answer.
    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &match self.delivery {
            Delivery::Chunked(_) => "Transfer-Encoding: chunked\r\n\r\n".to_string(),
            _ => format!("Content-Length: {}\r\n\r\n", self.body.len()),
        };
        head
    }
}

impl From<(u16, &str)> for Reply {
    fn from((status, body): (u16, &str)) -> Reply {
        Reply::new(status, body)
    }
}

type Script = Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>;

/// The server. It stops when dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Recorded>>>,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl ScriptedServer {
    /// Answers in this order, over all connections; then 599.
    pub fn new<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> ScriptedServer {
        let queue: Mutex<VecDeque<Reply>> = Mutex::new(replies.into_iter().map(Into::into).collect());
        ScriptedServer::answering(move |_| {
            queue.lock().unwrap().pop_front().unwrap_or_else(|| Reply::new(599, "the script has ended"))
        })
    }

    /// Answers by request; `CONNECT` is always granted.
    pub fn answering(script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> ScriptedServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let connections = AtomicUsize::new(0);
        let script: Script = Arc::new(script);
        let accepting = std::thread::spawn({
            let (requests, stopped) = (Arc::clone(&requests), Arc::clone(&stopped));
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let connection = Connection {
                        stream: stream.unwrap(),
                        number: connections.fetch_add(1, Ordering::SeqCst),
                        requests: Arc::clone(&requests),
                        script: Arc::clone(&script),
                    };
                    std::thread::spawn(move || connection.serve());
                }
            }
        });
        ScriptedServer { address, requests, stopped, accepting: Some(accepting) }
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A connection wakes the thread that accepts them.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// A loopback URL at which nothing listens.
pub fn refusing_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

struct Connection {
    stream: TcpStream,
    number: usize,
    requests: Arc<Mutex<Vec<Recorded>>>,
    script: Script,
}

impl Connection {
    /// Answer requests until either side closes.
    fn serve(mut self) {
        while let Some((request, head_length)) = self.peek_head() {
            if request.method == "CONNECT" {
                self.consume(head_length);
                self.requests.lock().unwrap().push(request);
                let _ = self.stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
                continue;
            }
            // A socket that is closed with bytes unread sends a reset. That is why heads are peeked at first.
            let reply = (self.script)(&request);
            let resets = matches!(reply.delivery, Delivery::Reset(_) | Delivery::ResetAtOnce);
            let request = if resets { request } else { self.consume_request(request, head_length) };
            self.requests.lock().unwrap().push(request.clone());
            if !self.deliver(&reply, &request.method) {
                return;
            }
        }
    }

    /// Wait for a whole head without taking it from the socket.
    fn peek_head(&self) -> Option<(Recorded, usize)> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = self.stream.peek(&mut buffer).ok()?;
            if length == 0 {
                return None;
            }
            if let Some(end) = buffer[..length].windows(4).position(|window| window == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&buffer[..end]);
                return Some((parse_head(&text, self.number), end + 4));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn consume(&mut self, length: usize) {
        let mut head = vec![0; length];
        let _ = self.stream.read_exact(&mut head);
    }

    fn consume_request(&mut self, mut request: Recorded, head_length: usize) -> Recorded {
        self.consume(head_length);
        let length = request.header("content-length").map_or(0, |value| value.parse().unwrap());
        request.body = vec![0; length];
        let _ = self.stream.read_exact(&mut request.body);
        request
    }

    /// Send the reply; whether the connection goes on.
    fn deliver(&mut self, reply: &Reply, method: &str) -> bool {
        let body: &[u8] = if method == "HEAD" { &[] } else { &reply.body };
        match reply.delivery {
            Delivery::ResetAtOnce => return false,
            Delivery::Silent => return self.outwait(),
            _ => {}
        }
        let _ = self.stream.write_all(reply.head().as_bytes());
        match reply.delivery {
            Delivery::Chunked(size) => {
                for chunk in body.chunks(size) {
                    let _ = write!(self.stream, "{:x}\r\n", chunk.len());
                    let _ = self.stream.write_all(chunk);
                    let _ = self.stream.write_all(b"\r\n");
                }
                self.stream.write_all(b"0\r\n\r\n").is_ok()
            }
            Delivery::Truncated(length) => {
                let _ = self.stream.write_all(&body[..length]);
                let _ = self.stream.shutdown(Shutdown::Write);
                self.outwait()
            }
            Delivery::Reset(length) => {
                let _ = self.stream.write_all(&body[..length]);
                // Let the bytes arrive before the reset discards them.
                std::thread::sleep(Duration::from_millis(20));
                false
            }
            Delivery::Stalled(length) => {
                let _ = self.stream.write_all(&body[..length]);
                self.outwait()
            }
            _ => self.stream.write_all(body).is_ok(),
        }
    }

    /// Keep the connection open and silent until the client closes it.
    fn outwait(&mut self) -> bool {
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).is_ok_and(|length| length > 0) {}
        false
    }
}

fn parse_head(text: &str, connection: usize) -> Recorded {
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_string();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    Recorded { method: word(), target: word(), headers, body: Vec::new(), connection }
}
