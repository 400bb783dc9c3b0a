//! The line: TCP, and TLS on it.
//!
//! A thread dials and then only reads; what it read goes to the worker, which owns everything else. TLS is a state
//! machine between the two, so that no socket is shared and nothing is polled.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::worker::Input;

/// Where the counterparty is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the line is secured; without, only this machine is reached.
    pub tls: Option<Tls>,
}

/// How the counterparty proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The name in its certificate, where that is not the host's.
    pub name: Option<String>,
    /// Who may vouch for it; the operating system's authorities without.
    pub roots: Option<Authorities>,
}

/// Certificates of authorities, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// In a file.
    File(PathBuf),
    /// Themselves.
    Text(String),
}

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Text(_) => f.write_str("what was given as PEM"),
        }
    }
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authorities' file.
    #[error("cannot read certificates from {of}")]
    Roots {
        /// Which.
        of: Authorities,
        /// Why.
        source: pem::Error,
    },
    /// There is nobody to trust.
    #[error("there is no usable certificate of an authority in {0}")]
    NoRoots(String),
    /// The name cannot be in a certificate.
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
    /// Anything else.
    #[error("cannot set up TLS")]
    Rustls(#[from] rustls::Error),
}

/// TLS, ready for a line.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Prepared {
    pub(super) fn new(tls: &Tls, host: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let origin = match &tls.roots {
            Some(of) => {
                let wrong = |source| TlsError::Roots { of: of.clone(), source };
                let pem = match of {
                    Authorities::File(path) => std::fs::read(path).map_err(pem::Error::Io).map_err(wrong)?,
                    Authorities::Text(text) => text.clone().into_bytes(),
                };
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    roots.add(certificate.map_err(wrong)?)?;
                }
                of.to_string()
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                "the operating system's store".to_owned()
            }
        };
        if roots.is_empty() {
            return Err(TlsError::NoRoots(origin));
        }
        let name = tls.name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }
}

/// Dials, and reads until the line ends.
pub(super) fn dial(endpoint: &Endpoint, within: Duration, id: u64, to: Sender<Input>) -> io::Result<()> {
    let endpoint = endpoint.clone();
    let work = move || {
        let mut stream = match connect(&endpoint, within) {
            Ok(stream) => stream,
            Err(reason) => return drop(to.send(Input::Closed { id, reason })),
        };
        match stream.try_clone() {
            Ok(other) => drop(to.send(Input::Opened { id, stream: other })),
            Err(error) => return drop(to.send(Input::Closed { id, reason: error.to_string() })),
        }
        let mut buffer = vec![0; 16 * 1024];
        let reason = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break "the counterparty closed the line".to_owned(),
                Ok(read) => {
                    if to.send(Input::Bytes { id, bytes: buffer[..read].to_vec() }).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break format!("the line broke: {error}"),
            }
        };
        drop(to.send(Input::Closed { id, reason }));
    };
    thread::Builder::new().name("fix-line".into()).spawn(work).map(drop)
}

fn connect(endpoint: &Endpoint, within: Duration) -> Result<TcpStream, String> {
    let Endpoint { host, port, tls } = endpoint;
    let addresses: Vec<SocketAddr> =
        (host.as_str(), *port).to_socket_addrs().map_err(|error| format!("cannot find `{host}`: {error}"))?.collect();
    let mut reason = format!("`{host}` has no address");
    for address in addresses {
        if tls.is_none() && !address.ip().is_loopback() {
            reason = format!("{address} is not on this machine, and without TLS everybody on the way reads and trades");
            continue;
        }
        match TcpStream::connect_timeout(&address, within) {
            Ok(stream) => {
                let ready = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(within)));
                return ready.map(|()| stream).map_err(|error| format!("cannot use the line to {address}: {error}"));
            }
            Err(error) => reason = format!("cannot connect to {address}: {error}"),
        }
    }
    Err(reason)
}

/// The worker's end of an open line.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Line {
    pub(super) fn new(stream: TcpStream, tls: Option<&Prepared>) -> Result<Self, String> {
        let tls = tls.map(|tls| ClientConnection::new(Arc::clone(&tls.config), tls.name.clone()).map(Box::new));
        let mut line = Self { stream, tls: tls.transpose().map_err(|error| format!("cannot begin TLS: {error}"))? };
        line.flush().map_err(|error| format!("cannot begin TLS: {error}"))?;
        Ok(line)
    }

    /// Whether both sides know each other.
    pub(super) fn is_ready(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// What bytes from the socket say.
    pub(super) fn read(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let Some(tls) = &mut self.tls else { return Ok(bytes) };
        let (mut rest, mut plain) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            // Nothing is taken behind the counterparty's goodbye.
            if tls.read_tls(&mut rest).map_err(|error| format!("the line broke: {error}"))? == 0 {
                break;
            }
            let problem = tls.process_new_packets().err();
            loop {
                let mut buffer = [0; 4096];
                match tls.reader().read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => plain.extend_from_slice(&buffer[..read]),
                }
            }
            if let Some(error) = problem {
                // The counterparty is told why.
                drop(self.flush());
                return Err(format!("TLS failed: {error}"));
            }
        }
        self.flush().map_err(|error| format!("the line broke: {error}"))?;
        Ok(plain)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                self.flush()
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.stream)?;
            }
        }
        Ok(())
    }
}

/// The thread that reads ends with it.
impl Drop for Line {
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        drop(self.flush());
        drop(self.stream.shutdown(Shutdown::Both));
    }
}
