//! Where a carrier is that is given by name: NAPTR, SRV, then addresses (RFC 3263 section 4). The
//! only place that knows the resolver library.
//!
//! The operator says the transport, so NAPTR chooses among the names of that transport alone; an
//! address with a port is looked up as it is (section 4.2).

use domain::{SipTransport, TrunkTarget, limits};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Answers are asked for anew after this at the soonest, whatever their time to live says.
const TTL_MIN: Duration = Duration::from_secs(5);
/// And at the latest.
const TTL_MAX: Duration = Duration::from_secs(3_600);

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// At least one, at most [`limits::TRUNK_TARGETS`].
    pub targets: Vec<TrunkTarget>,
    /// For how long that may be believed: 5 s to an hour.
    pub ttl: Duration,
}

/// Why a name leads nowhere.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LocateError {
    /// The resolver cannot be set up.
    #[error(
        "the system's resolver configuration cannot be used: {0}; see /etc/resolv.conf, or set sip.dns"
    )]
    Setup(String),
    /// No such name.
    #[error("{0} has no address; check the name with the carrier")]
    Nowhere(String),
    /// Its SRV record says that it takes no calls that way.
    #[error("{0} says that it takes no calls by this transport (SRV with target \".\")")]
    NotOffered(String),
    /// Nobody answered, or with an error.
    #[error("the name servers cannot be asked about {name}: {why}")]
    Failed {
        /// The name asked about.
        name: String,
        /// What the resolver said.
        why: String,
    },
}

/// Asks name servers. Cheap to clone: clones share a cache.
#[derive(Clone)]
pub struct Locator {
    resolver: TokioResolver,
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locator").finish_non_exhaustive()
    }
}

/// Records together with the moment until which they may be believed.
struct Answer<T> {
    records: Vec<T>,
    until: Instant,
}

impl Locator {
    /// Asks `servers`, or those of the system where none are given.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, LocateError> {
        let setup = |error: NetError| LocateError::Setup(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(setup)?
        } else {
            let server = |address: &SocketAddr| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                NameServerConfig::new(address.ip(), true, connections.into())
            };
            let servers = servers.iter().map(server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.cache_size = 256;
        options.use_hosts_file = ResolveHosts::Auto;
        // A carrier whose name was wrong for a moment is not gone for an hour.
        options.negative_max_ttl = Some(Duration::from_secs(30));
        options.positive_max_ttl = Some(TTL_MAX);
        let resolver = builder.build().map_err(setup)?;
        Ok(Self { resolver })
    }

    /// Where a carrier takes SIP by that transport.
    ///
    /// # Errors
    /// The name leads nowhere, or nobody says where.
    pub async fn locate(
        &self,
        host: &str,
        port: Option<u16>,
        transport: SipTransport,
    ) -> Result<Located, LocateError> {
        let name = name(host)?;
        let horizon = Instant::now() + TTL_MAX;
        let mut until = horizon;
        let mut targets = Vec::new();
        let service = match port {
            Some(_) => Vec::new(),
            None => self.services(&name, transport, &mut until).await?,
        };
        for srv in &service {
            // One host of several that cannot be looked up leaves the others.
            let addresses = match self.addresses(&srv.host).await {
                Ok(addresses) => addresses,
                Err(error) if service.len() > 1 => {
                    tracing::warn!(host = %srv.host, %error, "one of a carrier's hosts has no address");
                    continue;
                }
                Err(error) => return Err(error),
            };
            until = until.min(addresses.until);
            targets.extend(addresses.records.into_iter().map(|ip| TrunkTarget {
                priority: srv.priority,
                weight: srv.weight,
                address: SocketAddr::new(ip, srv.port),
            }));
        }
        if service.is_empty() {
            let addresses = self.addresses(&name).await?;
            until = until.min(addresses.until);
            let port = port.unwrap_or(default_port(transport));
            targets.extend(addresses.records.into_iter().map(|ip| TrunkTarget {
                priority: 0,
                weight: 0,
                address: SocketAddr::new(ip, port),
            }));
        }
        targets.sort_by_key(|t| (t.priority, std::cmp::Reverse(t.weight), t.address));
        targets.dedup_by_key(|t| t.address);
        targets.truncate(limits::TRUNK_TARGETS);
        if targets.is_empty() {
            return Err(LocateError::Nowhere(host.to_owned()));
        }
        let ttl = until.saturating_duration_since(Instant::now());
        Ok(Located {
            targets,
            ttl: ttl.clamp(TTL_MIN, TTL_MAX),
        })
    }

    /// The SRV records of a name for a transport, by way of NAPTR where there is one; none where the
    /// name is to be looked up as it is.
    async fn services(
        &self,
        name: &Name,
        transport: SipTransport,
        until: &mut Instant,
    ) -> Result<Vec<Service>, LocateError> {
        let wanted = match transport {
            SipTransport::Udp => "SIP+D2U",
            SipTransport::Tcp => "SIP+D2T",
            SipTransport::Tls => "SIPS+D2T",
        };
        let found = self.ask(name, RecordType::NAPTR).await?;
        let mut ways: Vec<_> = (found.records.into_iter())
            .filter_map(|data| match data {
                RData::NAPTR(naptr) => Some(naptr),
                _ => None,
            })
            .filter(|naptr| {
                naptr.flags.eq_ignore_ascii_case(b"s")
                    && naptr.services.eq_ignore_ascii_case(wanted.as_bytes())
                    && naptr.regexp.is_empty()
            })
            .collect();
        ways.sort_by_key(|naptr| (naptr.order, naptr.preference));
        let asked = match ways.first() {
            Some(naptr) => {
                *until = (*until).min(found.until);
                naptr.replacement.clone()
            }
            None => prefixed(name, transport)?,
        };
        let found = self.ask(&asked, RecordType::SRV).await?;
        let services: Vec<Service> = (found.records.into_iter())
            .filter_map(|data| match data {
                RData::SRV(srv) => Some(Service {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    host: srv.target,
                }),
                _ => None,
            })
            .collect();
        if let [only] = &services[..]
            && only.host.is_root()
        {
            return Err(LocateError::NotOffered(name.to_ascii()));
        }
        if !services.is_empty() {
            *until = (*until).min(found.until);
        }
        Ok(services)
    }

    async fn addresses(&self, host: &Name) -> Result<Answer<IpAddr>, LocateError> {
        let mut records = Vec::new();
        let mut until = Instant::now() + TTL_MAX;
        let (four, six) = tokio::join!(
            self.ask(host, RecordType::A),
            self.ask(host, RecordType::AAAA)
        );
        // One family is enough.
        let (first, second) = match (four, six) {
            (Err(error), Err(_)) => return Err(error),
            (four, six) => (four.ok(), six.ok()),
        };
        for answer in [first, second].into_iter().flatten() {
            let found = answer.records.iter().filter_map(RData::ip_addr);
            let before = records.len();
            records.extend(found);
            if records.len() > before {
                until = until.min(answer.until);
            }
        }
        match records.is_empty() {
            true => Err(LocateError::Nowhere(host.to_ascii())),
            false => Ok(Answer { records, until }),
        }
    }

    /// What the name servers have of one kind; nothing where they say that there is none.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer<RData>, LocateError> {
        let none = |until| Answer {
            records: Vec::new(),
            until,
        };
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(found) => Ok(Answer {
                until: found.valid_until(),
                records: records(&found, kind),
            }),
            Err(error) if error.is_no_records_found() => Ok(none(Instant::now() + TTL_MAX)),
            Err(error) => Err(LocateError::Failed {
                name: name.to_ascii(),
                why: error.to_string(),
            }),
        }
    }
}

/// One SRV record.
struct Service {
    priority: u16,
    weight: u16,
    port: u16,
    host: Name,
}

fn records(found: &Lookup, kind: RecordType) -> Vec<RData> {
    let answers = found.answers().iter();
    let of_kind = answers.filter(|record| record.record_type() == kind);
    of_kind.map(|record| record.data.clone()).collect()
}

fn name(host: &str) -> Result<Name, LocateError> {
    let mut name = Name::from_ascii(host).map_err(|_| LocateError::Nowhere(host.to_owned()))?;
    // No search list: a carrier's name is whole.
    name.set_fqdn(true);
    Ok(name)
}

fn prefixed(name: &Name, transport: SipTransport) -> Result<Name, LocateError> {
    let prefix = match transport {
        SipTransport::Udp => ["_sip", "_udp"],
        SipTransport::Tcp => ["_sip", "_tcp"],
        SipTransport::Tls => ["_sips", "_tcp"],
    };
    let long = |_| LocateError::Nowhere(name.to_ascii());
    let under = name.prepend_label(prefix[1]).map_err(long)?;
    under.prepend_label(prefix[0]).map_err(long)
}

const fn default_port(transport: SipTransport) -> u16 {
    match transport {
        SipTransport::Udp | SipTransport::Tcp => 5060,
        SipTransport::Tls => 5061,
    }
}
