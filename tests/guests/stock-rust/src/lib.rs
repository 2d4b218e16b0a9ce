//! Uses what Rust's standard library has for sockets and files, and tells what comes of it.

use exports::test::stock_rust::tries::Guest;
use std::fmt::Debug;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};

wit_bindgen::generate!({ path: "wit", generate_all });

struct Component;

export!(Component);

impl Guest for Component {
    fn connect(address: String) -> Result<String, String> {
        told(TcpStream::connect(address))
    }

    fn bind(address: String) -> Result<String, String> {
        told(UdpSocket::bind(address))
    }

    fn look_up(name: String) -> Result<String, String> {
        told((name.as_str(), 80).to_socket_addrs().map(|found| found.collect::<Vec<_>>()))
    }

    fn read(path: String) -> Result<String, String> {
        told(std::fs::read_to_string(path))
    }
}

fn told(result: io::Result<impl Debug>) -> Result<String, String> {
    result.map(|value| format!("{value:?}")).map_err(|error| format!("{:?}: {error}", error.kind()))
}
