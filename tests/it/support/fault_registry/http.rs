//! HTTP/1.1 as far as a registry needs it, with answers that break off.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A request. The body is empty while [`Request::is_announced`]: it is only read if the answer wants it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub length: Option<usize>,
    pub body: Vec<u8>,
    pub is_announced: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    No,
    /// Nothing is sent, and the connection is closed.
    Silent,
    /// The connection is closed after this many bytes of the body.
    After(usize),
    /// All is sent, then the connection is closed though a body of the client is not read.
    Close,
    /// The body is to be sent now.
    Continue,
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub cut: Cut,
}

impl Reply {
    pub fn new(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), cut: Cut::No }
    }

    /// To an announced request: the body is wanted.
    pub fn go_on() -> Reply {
        Reply::new(0).cut(Cut::Continue)
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    pub fn cut(mut self, cut: Cut) -> Reply {
        self.cut = cut;
        self
    }

    /// A refusal in the words of the specification.
    pub fn error(status: u16, code: &str, message: &str) -> Reply {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Reply::new(status).header("Content-Type", "application/json").body(body.to_string())
    }
}

/// Answer the requests of a connection until either side closes it. `answer` is asked with the announced request
/// first if it has a body, and with all of it then.
pub fn serve(stream: &TcpStream, answer: &(dyn Fn(&Request) -> Reply + Send + Sync)) {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    while let Some(mut request) = read_head(&mut reader) {
        let mut reply = Reply::go_on();
        if request.length.is_some_and(|length| length > 0) {
            request.is_announced = true;
            reply = answer(&request);
            request.is_announced = false;
        }
        if reply.cut == Cut::Continue {
            if request.header("expect").is_some() {
                let _ = (&mut &*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            request.body = vec![0; request.length.unwrap_or(0)];
            if reader.read_exact(&mut request.body).is_err() {
                return;
            }
            reply = answer(&request);
        }
        if !deliver(stream, &request, &reply) {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end_matches(['\r', '\n']).to_string();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines.first()?.split(' ');
    let (method, target) = (first.next()?.to_string(), first.next()?);
    let url = url::Url::parse(&format!("http://x{target}")).ok()?;
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let query = url.query_pairs().into_owned().collect();
    Some(Request { method, path: url.path().to_string(), query, headers, length, ..Request::default() })
}

/// Send an answer; whether the connection goes on.
fn deliver(mut stream: &TcpStream, request: &Request, reply: &Reply) -> bool {
    if reply.cut == Cut::Silent {
        return false;
    }
    let mut head = format!("HTTP/1.1 {} Answer\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let has_length = reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !has_length {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    let body: &[u8] = if request.method == "HEAD" { &[] } else { &reply.body };
    let end = match reply.cut {
        Cut::After(bytes) => bytes.min(body.len()),
        _ => body.len(),
    };
    // In one piece: a second small packet would wait for the acknowledgement of the first, 40 ms each time.
    let answer = [head.as_bytes(), b"\r\n", &body[..end]].concat();
    let sent = stream.write_all(&answer);
    sent.is_ok() && !matches!(reply.cut, Cut::After(_) | Cut::Close)
}
