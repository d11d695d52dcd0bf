//! How requests are sent: proxy, certificates, timeouts and the token.

use std::path::Path;

use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::error::{Error, Result, printable, shown};
use crate::files;
use crate::weights::options::{HubOptions, without_password};

const USER_AGENT: &str = concat!("vgg-surgery/", env!("CARGO_PKG_VERSION"));

/// What sends the requests: with this proxy, these certificates and timeouts.
pub(super) fn agent(options: &HubOptions, endpoint: &Uri) -> Result<Agent> {
    let timeout = Some(options.timeout);
    let mut config = Agent::config_builder()
        .user_agent(USER_AGENT)
        // A compressed range has another length than the range.
        .accept_encoding("identity")
        .http_status_as_error(false)
        .https_only(endpoint.scheme_str() == Some("https"))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(timeout)
        .timeout_recv_response(timeout)
        .timeout_recv_body(timeout)
        .timeout_per_read(timeout)
        .timeout_per_write(timeout);
    if let Some(bundle) = &options.ca_bundle {
        let root_certs = RootCerts::new_with_certs(&certificates(bundle)?);
        config = config.tls_config(TlsConfig::builder().root_certs(root_certs).build());
    }
    if let Some(proxy) = &options.proxy {
        let proxy = Proxy::new(proxy).map_err(|_| Error::InvalidHubName {
            name: printable(without_password(proxy)),
            what: "proxy",
            reason: "it must read http://host:port, or as much with socks5",
        })?;
        config = config.proxy(Some(proxy));
    } else if is_this_machine(endpoint) {
        config = config.proxy(None);
    }
    Ok(config.build().new_agent())
}

/// The certificates of a PEM file.
fn certificates(bundle: &Path) -> Result<Vec<Certificate<'static>>> {
    let pem = files::read(bundle)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Error::InvalidHubName {
            name: shown(bundle),
            what: "certificate bundle",
            reason: "it has no certificate in PEM format",
        });
    }
    Ok(certificates)
}

/// The header with the token, if there is one.
pub(super) fn bearer(options: &HubOptions) -> Result<Option<HeaderValue>> {
    let Some(token) = &options.token else {
        return Ok(None);
    };
    let mut token =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::InvalidHubName {
            name: "HF_TOKEN".to_string(),
            what: "token",
            reason: "it has characters that no token has",
        })?;
    token.set_sensitive(true);
    Ok(Some(token))
}

/// Whether an address is this machine's own, which no proxy can reach.
fn is_this_machine(endpoint: &Uri) -> bool {
    matches!(endpoint.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
}
