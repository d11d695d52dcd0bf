//! HTTPS with a private certificate authority, and proxies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use candle_core::Device;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::weights::HubOptions;
use vgg_surgery::{Error, Model, Result};

use crate::{Rig, cut};

fn build(hub: HubOptions) -> Result<Model> {
    cut().build_with(&Device::Cpu, &BuildOptions::new().hub(hub))
}

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join("hub").join(name)
}

/// Calls `serve` for every connection to the address that it returns.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            // A client that refuses the certificate is what a test wants.
            thread::spawn(move || serve(stream).ok());
        }
    });
    address.to_string()
}

/// The head of a request, up to the empty line.
fn head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// Puts TLS, with the certificate of the fixtures, before a hub.
fn tls(hub: &str) -> String {
    let certificate = CertificateDer::from_pem_file(fixture("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
    let (config, hub) = (Arc::new(config), hub.replace("http://", ""));
    let address = listen(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        let mut client = BufReader::new(StreamOwned::new(connection, stream));
        let head = head(&mut client)?;
        let length = head.to_ascii_lowercase();
        let length = length.split_once("content-length:");
        let length = length.and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        client.read_exact(&mut body)?;
        let mut server = TcpStream::connect(&hub)?;
        server.write_all(head.as_bytes())?;
        server.write_all(&body)?;
        let mut client = client.into_inner();
        io::copy(&mut server, &mut client)?;
        client.conn.send_close_notify();
        client.flush()
    });
    format!("https://{address}")
}

#[test]
fn https_trusts_the_authorities_of_the_bundle() {
    let rig = Rig::start();
    let options = || {
        let options = rig.hub_options().endpoint(tls(rig.hub.endpoint()));
        options.retries(0)
    };
    let error = build(options()).unwrap_err();
    assert!(matches!(error, Error::HubUnreachable { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(rig.hub.take_requests(), []);

    let _ = build(options().ca_bundle(fixture("ca.pem"))).unwrap();
    assert_eq!(rig.hub.take_requests().len(), 4);
}

#[test]
fn a_bundle_must_hold_certificates() {
    let rig = Rig::start();
    let options = |bundle: &str| rig.hub_options().ca_bundle(fixture(bundle));
    let error = build(options("server.key")).unwrap_err();
    let what = "certificate bundle";
    assert!(
        matches!(error, Error::InvalidHubName { what: found, .. } if found == what),
        "{error}"
    );
    let error = build(options("none.pem")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

/// A proxy that leads to `hub` whatever address it is asked for, and how often
/// it was asked.
fn proxy(hub: &str) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, hub) = (Arc::clone(&asked), hub.replace("http://", ""));
    let address = listen(move |stream| {
        let mut client = BufReader::new(stream.try_clone()?);
        let head = head(&mut client)?;
        let mut server = TcpStream::connect(&hub)?;
        count.fetch_add(1, Ordering::Relaxed);
        let mut answers = stream;
        if head.starts_with("CONNECT hub.invalid:80 ") {
            answers.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
        } else {
            server.write_all(head.replacen("http://hub.invalid", "", 1).as_bytes())?;
        }
        let mut from_server = server.try_clone()?;
        thread::spawn(move || io::copy(&mut from_server, &mut answers).ok());
        io::copy(&mut client, &mut server)?;
        Ok(())
    });
    (format!("http://{address}"), asked)
}

#[test]
fn requests_go_through_the_proxy() {
    let rig = Rig::start();
    let (proxy, asked) = proxy(rig.hub.endpoint());
    let options = rig.hub_options().endpoint("http://hub.invalid");
    let _ = build(options.proxy(proxy)).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 4);

    let error = build(rig.hub_options().proxy("ada:secret@no proxy")).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(
        matches!(error, Error::InvalidHubName { what: "proxy", .. }),
        "{error}"
    );
}
