//! Binding TCP ports and serving HTTP on them until shutdown.

use crate::Shutdown;
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// A port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{what}: cannot listen on {address}: {source}; {}", remedy(source))]
pub struct ListenError {
    /// What the port is for (`metrics`).
    what: &'static str,
    /// The address asked for.
    address: SocketAddr,
    /// Why not.
    #[source]
    source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process holds the port: stop it or choose another",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: grant it or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
        _ => "check the address in the configuration",
    }
}

/// A bound port and the address it really got (port 0 asks the kernel to choose).
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// The bound address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until shutdown begins, then lets requests under way end.
    ///
    /// # Errors
    /// The listening socket failed.
    pub async fn serve(self, router: axum::Router, shutdown: Shutdown) -> io::Result<()> {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, service)
            .with_graceful_shutdown(async move { shutdown.started().await })
            .await
    }
}

/// Binds `address` for `what`.
///
/// # Errors
/// [`ListenError`] names the address, the cause and the remedy.
pub async fn bind(what: &'static str, address: SocketAddr) -> Result<Listener, ListenError> {
    let refused = |source| ListenError {
        what,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Listener { listener, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_remedy() {
        let first = bind("metrics", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let error = bind("metrics", first.address()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&first.address().to_string()), "{text}");
        assert!(text.contains("another process holds the port"), "{text}");
    }
}
