//! A line that breaks when it is told to.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to the next connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// They are closed at once.
    Refuse,
    /// They break when the first request has come, before it is passed on.
    BreakBefore,
    /// They break when the first request has been passed on.
    BreakAfter,
    /// The answer never comes.
    SwallowAnswer,
    /// Half of the answer comes.
    HalfAnswer,
}

/// It listens on a port of its own.
pub(crate) struct Proxy {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            fault: Arc::new(Mutex::new(Fault::None)),
            open: Arc::default(),
        };
        let (fault, open) = (proxy.fault.clone(), proxy.open.clone());
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let fault = *fault.lock().unwrap();
                let server = TcpStream::connect(to);
                let Ok(server) = server else { continue };
                if fault == Fault::Refuse {
                    let _ = client.shutdown(Shutdown::Both);
                    continue;
                }
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                open.lock().unwrap().extend([clone(&client), clone(&server)]);
                let (up, down) = ((clone(&client), clone(&server)), (server, client));
                thread::spawn(move || pass(up.0, up.1, fault, true));
                thread::spawn(move || pass(down.0, down.1, fault, false));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, fault: Fault, is_request: bool) {
    let end = |from: &TcpStream, to: &TcpStream| {
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    };
    let mut buffer = [0_u8; 16_384];
    while let Ok(count) = from.read(&mut buffer) {
        let is_order = buffer.starts_with(b"POST");
        match (fault, is_request) {
            _ if count == 0 => break,
            (Fault::BreakBefore, true) if is_order => break,
            (Fault::SwallowAnswer, false) => continue,
            (Fault::HalfAnswer, false) => {
                let _ = to.write_all(&buffer[..count / 2]);
                break;
            }
            _ => {}
        }
        if to.write_all(&buffer[..count]).is_err() || fault == Fault::BreakAfter && is_request && is_order {
            if fault == Fault::BreakAfter {
                // The server gets to read it.
                thread::sleep(std::time::Duration::from_millis(50));
            }
            break;
        }
    }
    end(&from, &to);
}
