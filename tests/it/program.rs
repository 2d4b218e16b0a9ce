//! Programs beside the host, on ports that the system chooses for them: no port is chosen first and taken later.

use anyhow::{Context as _, Result, bail};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use wares_it::wait;

/// In the system's table of connections: somebody waits for connections there.
const LISTENING: &str = "0A";

/// Starts a program that is to listen on port 0 of this address, and returns which port it got. It ends when it is dropped.
pub(crate) async fn start(mut command: Command, ip: Ipv4Addr) -> Result<(Child, SocketAddr)> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let mut process = command.kill_on_drop(true).spawn().with_context(|| format!("{name}: tests/run installs it"))?;
    let pid = process.id().context("a pid")?;
    let what = format!("{name} listens");
    let port = wait::until(&what, async || {
        if let Some(status) = process.try_wait()? {
            bail!("{name} ended before it listened: {status}");
        }
        Ok(port(pid, ip)?.ok_or("no port"))
    });
    let port = port.await?;
    Ok((process, SocketAddr::from((ip, port))))
}

/// The port of an address on which a process listens.
fn port(pid: u32, ip: Ipv4Addr) -> Result<Option<u16>> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let sockets: Vec<PathBuf> = open.filter_map(|file| std::fs::read_link(file.path()).ok()).collect();
    let ip = format!("{:08X}", u32::from_le_bytes(ip.octets()));
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    Ok(table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = address.strip_prefix(&ip)?.strip_prefix(':')?;
        let is_its_own = *state == LISTENING && sockets.contains(&PathBuf::from(format!("socket:[{inode}]")));
        is_its_own.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    }))
}

/// A port for a server that can take a Unix socket but not a port of the system's choice. It is closed when this is dropped.
pub(crate) struct Forwarded {
    pub(crate) addr: SocketAddr,
    _passing: JoinSet<()>,
}

impl Forwarded {
    pub(crate) async fn to(socket: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let mut passing = JoinSet::new();
        passing.spawn(pass(listener, socket.to_owned()));
        Ok(Self { addr, _passing: passing })
    }
}

async fn pass(listener: TcpListener, socket: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((mut outer, _)) = listener.accept().await {
        let socket = socket.clone();
        connections.spawn(async move {
            let mut inner = UnixStream::connect(socket).await?;
            copy_bidirectional(&mut outer, &mut inner).await
        });
    }
}

/// A port that nobody listens on, and nobody else gets as long as this lives.
pub(crate) struct Unheard {
    pub(crate) addr: SocketAddr,
    _bound: TcpSocket,
}

impl Unheard {
    pub(crate) fn new() -> Result<Self> {
        let bound = TcpSocket::new_v4()?;
        bound.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { addr: bound.local_addr()?, _bound: bound })
    }
}
