//! Redirects to other hosts and ports: the token and cookies stay at home.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use vgg_surgery::model::BuildOptions;
use vgg_surgery::weights::HubOptions;

use crate::cache::{Rig, cut};

/// Requests of a kind are sent on, all others are answered by the hub.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Api,
    Head,
    File,
}

/// How a request is sent on.
#[derive(Clone)]
struct Redirect {
    kind: Kind,
    status: u16,
    /// The scheme, the host and the port.
    target: String,
}

struct Head {
    text: String,
    kind: Kind,
    path: String,
    body: Vec<u8>,
}

fn head(stream: &TcpStream) -> io::Result<Head> {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if reader.read_line(&mut text)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let lower = text.to_ascii_lowercase();
    let length = lower.split_once("content-length:");
    let length = length.and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut words = text.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default().to_string();
    let kind = match method {
        _ if path.starts_with("/api/") => Kind::Api,
        "HEAD" => Kind::Head,
        _ => Kind::File,
    };
    Ok(Head {
        kind,
        path,
        body,
        text,
    })
}

fn answer(mut stream: TcpStream, hub: &str, redirect: &Redirect) -> io::Result<()> {
    let head = head(&stream)?;
    if head.kind == redirect.kind {
        let Redirect { status, target, .. } = redirect;
        return write!(
            stream,
            "HTTP/1.1 {status} Elsewhere\r\nLocation: {target}{}\r\n\
             Set-Cookie: session=secret; Path=/\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            head.path
        );
    }
    let mut server = TcpStream::connect(hub.trim_start_matches("http://"))?;
    server.write_all(head.text.as_bytes())?;
    server.write_all(&head.body)?;
    io::copy(&mut server, &mut stream).map(drop)
}

/// A server before the hub, on another port.
fn before(hub: &str, redirect: Redirect) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hub = hub.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (hub, redirect) = (hub.clone(), redirect.clone());
            thread::spawn(move || answer(stream, &hub, &redirect).ok());
        }
    });
    format!("http://{address}")
}

/// The requests that came to the place that redirects lead to, of the kind that is
/// sent on; and whether the network was built.
fn followed(kind: Kind, status: u16, hops: usize, host: &str) -> (usize, bool) {
    // What answers, and what is only redirected to.
    let (home, away) = (Rig::start(), Rig::start());
    let mut target = away.hub.endpoint().replace("127.0.0.1", host);
    for _ in 1..hops {
        let redirect = Redirect {
            kind,
            status,
            target,
        };
        target = before(away.hub.endpoint(), redirect).replace("127.0.0.1", host);
    }
    let redirect = Redirect {
        kind,
        status,
        target,
    };
    let front = before(home.hub.endpoint(), redirect);
    let hub = HubOptions::from_env()
        .endpoint(front)
        .home(home.home())
        .offline(false)
        .retries(0)
        .token("hf_secret");
    let built = cut().build_with(&candle_core::Device::Cpu, &BuildOptions::new().hub(hub));
    let requests = away.hub.take_requests();
    for request in &requests {
        assert_eq!(request.authorization, None, "{kind:?} {status} to {host}");
        assert_eq!(request.cookie, None, "{kind:?} {status} to {host}");
    }
    let at_home = home.hub.take_requests();
    let token = Some("Bearer hf_secret".to_string());
    assert!(at_home.iter().all(|request| request.authorization == token));
    (requests.len(), built.is_ok())
}

#[test]
fn no_redirect_carries_the_token_away() {
    for status in [301, 302, 303, 307, 308] {
        for kind in [Kind::Api, Kind::Head, Kind::File] {
            for (hops, host) in [(1, "127.0.0.1"), (1, "localhost"), (3, "localhost")] {
                let (requests, built) = followed(kind, status, hops, host);
                assert!(built, "{status} of {kind:?} after {hops} to {host}");
                // What is asked of the hub alone is not followed.
                assert_eq!(requests == 0, kind == Kind::Api, "{status} of {kind:?}");
            }
        }
    }
}
