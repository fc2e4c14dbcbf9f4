//! Making a mesh: its CA, this coordinator's identity, the directory's first entries.

use crate::{authority::CERTIFICATE_LIFE, config::CoordinatorConfig, people};
use anyhow::{Context, bail, ensure};
use domain::{MemberId, Secret};
use ledger::{Change, DirectoryCommand, DirectoryReply, MeshId, NewMember, Role};
use member::{Member, MemberConfig};
use mesh::{Identity, MemberKey, MeshCa};
use service::{Shutdown, Tasks};
use std::{net::SocketAddr, path::Path, time::Duration};
use storage::{DataDirLock, DataKeys};

/// The first member of every mesh.
const FOUNDER: MemberId = MemberId(1);
/// In the data directory once the mesh is made.
const FOUNDED: &str = "founded";
/// How long the directory may take to accept its first entries.
const FIRST_ENTRIES: Duration = Duration::from_secs(30);

/// What may be chosen when a mesh is made.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The name of the first token's holder.
    pub owner: String,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            owner: "owner".to_owned(),
        }
    }
}

/// A mesh was made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// Opens the admin API with every right; kept nowhere.
    pub admin_token: Secret,
    /// The mesh's id.
    pub mesh_id: MeshId,
    /// Where the admin API will be once the coordinator runs.
    pub url: String,
}

/// The address that others dial.
pub(crate) fn advertised(config: &CoordinatorConfig, bound: SocketAddr) -> SocketAddr {
    config.mesh.advertise.unwrap_or(bound)
}

/// `http://` and an address; one that listens everywhere is found where the mesh endpoint is.
pub(crate) fn http_url(mut bound: SocketAddr, mesh: SocketAddr) -> String {
    if bound.ip().is_unspecified() {
        bound.set_ip(mesh.ip());
    }
    format!("http://{bound}")
}

/// Whether a mesh was made in that directory.
pub(crate) fn is_founded(dir: &Path) -> bool {
    dir.join(FOUNDED).exists()
}

/// Makes a mesh in `config.data_dir`. What a crash left half done is finished by the next call.
///
/// # Errors
/// The directory holds a mesh already, is in use, or cannot be written.
pub async fn init(config: &CoordinatorConfig, options: InitOptions) -> anyhow::Result<Initialised> {
    let config = config.clone();
    // A runtime of its own: when it has ended, so have all the groups' threads and files.
    let made = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let made = runtime.block_on(make(&config, &options));
        runtime.shutdown_timeout(Duration::from_secs(10));
        made
    });
    made.await.context("the making of the mesh was cut off")?
}

async fn make(config: &CoordinatorConfig, options: &InitOptions) -> anyhow::Result<Initialised> {
    let dir = &config.data_dir;
    let _lock = DataDirLock::acquire(dir)?;
    if is_founded(dir) || Identity::load(dir)?.is_some_and(|identity| identity.member != FOUNDER) {
        bail!(
            "{} holds a member of a mesh already; start it with `dialmesh coordinator run`, or choose another data_dir",
            dir.display()
        );
    }
    let now = service::clock::wall();
    let ca = if dir.join("ca.pem").exists() {
        MeshCa::open(dir)?
    } else {
        MeshCa::create(dir, now)?
    };
    let identity = match Identity::load(dir)? {
        Some(identity) => identity,
        None => {
            let key = MemberKey::generate();
            let chain = ca.issue(FOUNDER, &key.csr()?, now, CERTIFICATE_LIFE)?;
            let identity = key.certified(chain)?;
            identity.save(dir)?;
            identity
        }
    };
    let keys = DataKeys::open(&config.storage.data_key_file(dir), dir)?;
    let tasks = Tasks::new(Shutdown::new());
    let member = Member::start(
        MemberConfig {
            data_dir: dir.clone(),
            // Nobody dials it yet.
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            keys,
            identity,
            authority: None,
            freshness: config.protocol.freshness,
            listener: None,
        },
        &tasks,
    )
    .await?;
    let made = found(config, options, &member, &ca).await;
    member.shut_down().await;
    let made = made?;
    storage::write_atomically(&dir.join(FOUNDED), format!("{}\n", made.mesh_id).as_bytes())
        .with_context(|| format!("{} cannot be written", dir.join(FOUNDED).display()))?;
    Ok(made)
}

async fn found(
    config: &CoordinatorConfig,
    options: &InitOptions,
    member: &Member,
    ca: &MeshCa,
) -> anyhow::Result<Initialised> {
    let mesh_address = advertised(config, config.mesh.listen);
    let url = http_url(config.http.listen, mesh_address);
    // From the CA's key, so that a second try after a crash founds the same mesh.
    let mut id = [0; 16];
    id.copy_from_slice(&ca.key_hash()[..16]);
    let mesh_id = MeshId(u128::from_be_bytes(id));
    let new = NewMember {
        name: config.name.clone(),
        mesh_address: mesh_address.to_string(),
        http_address: url.clone(),
    };
    match propose(
        member,
        Change::Found {
            mesh: mesh_id,
            member: new,
        },
    )
    .await?
    {
        DirectoryReply::Joined { member, .. } => {
            ensure!(member == FOUNDER, "{member} is not the first")
        }
        other => bail!("the directory answered {other:?} to its founding"),
    }
    // A new mesh is at once what its founder understands.
    let version = config.mesh.version();
    propose(
        member,
        Change::Understand {
            id: FOUNDER,
            version,
        },
    )
    .await?;
    let admin_token = service::entropy::secret(people::API_TOKEN)?;
    let token = Change::AddApiToken {
        hash: people::hash(&admin_token),
        name: options.owner.clone(),
        role: Role::Owner,
        scopes: Vec::new(),
        expires_at: None,
    };
    match propose(member, token).await? {
        DirectoryReply::Token(_) => Ok(Initialised {
            admin_token,
            mesh_id,
            url,
        }),
        other => bail!("the directory answered {other:?} to its first token"),
    }
}

async fn propose(member: &Member, change: Change) -> anyhow::Result<DirectoryReply> {
    let command = DirectoryCommand::from(change);
    // Both changes are known when they come twice.
    let committed = member
        .directory()
        .propose_again(&command, FIRST_ENTRIES)
        .await?;
    match committed.reply {
        DirectoryReply::Rejected(rejection) => bail!("the directory refused: {rejection}"),
        reply => Ok(reply),
    }
}
