//! The processes: the only file that knows how a coordinator and a node are made, joined and run.

use crate::{
    context::{Context, Contexts},
    failure::Failure,
    output::Form,
    secrets::{self, SecretFile},
    session::Session,
    verbs::{member, voters},
};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use coordinator::{InitOptions, config::CoordinatorConfig};
use node::config::NodeConfig;
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

/// The control plane.
#[derive(Debug, Subcommand)]
pub(crate) enum CoordinatorVerb {
    /// Make a mesh: its CA, this coordinator's identity, and a first token, which is kept in the context named by --context (the coordinator's name when not given).
    #[command(
        after_help = "Examples:\n  dialmesh coordinator init --config coordinator.toml\n  dialmesh coordinator init --config coordinator.toml --context hq --token-file admin.token"
    )]
    Init {
        /// The coordinator's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Write the first token into a new file of mode 0600 too.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Show how voters of the groups are kept, or change it.
    #[command(
        after_help = "Examples:\n  dialmesh coordinator voters\n  dialmesh coordinator voters --wanted 5 --grace 10m"
    )]
    Voters(voters::Settings),
    /// Run the coordinator until SIGTERM or Ctrl-C.
    #[command(
        after_help = "Examples:\n  dialmesh coordinator run --config coordinator.toml\n  DIALMESH_LOG__LEVEL=debug dialmesh coordinator run --config coordinator.toml"
    )]
    Run {
        /// The coordinator's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// A city's dialer, and the members of the mesh.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// Join a mesh with a token of `dialmesh token create --region`.
    #[command(
        after_help = "Examples:\n  dialmesh node join --config shenzhen.toml --coordinator 192.0.2.1:7401 --region south --token-file shenzhen.token\n  dialmesh token create --region south --name shenzhen | ssh shenzhen dialmesh node join --config node.toml --coordinator 192.0.2.1:7401 --region south --token-file -"
    )]
    Join(Join),
    /// Run the node until SIGTERM or Ctrl-C; live calls are given time to end.
    #[command(after_help = "Examples:\n  dialmesh node run --config shenzhen.toml")]
    Run {
        /// The node's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// List the members of the mesh.
    #[command(after_help = "Examples:\n  dialmesh node ls\n  dialmesh node ls -o json")]
    Ls,
    /// Show a member.
    #[command(after_help = "Examples:\n  dialmesh node show shenzhen")]
    Show {
        /// Name or id.
        node: String,
    },
    /// Let a member hand over what it leads, and its votes where another can take them. Its calls go on: stop it next.
    #[command(after_help = "Examples:\n  dialmesh node drain shenzhen")]
    Drain {
        /// Name or id.
        node: String,
    },
    /// Let a drained member lead and vote again.
    #[command(after_help = "Examples:\n  dialmesh node undrain shenzhen")]
    Undrain {
        /// Name or id.
        node: String,
    },
    /// Take a member out of the mesh for good.
    #[command(after_help = "Examples:\n  dialmesh node remove shenzhen --yes")]
    Remove {
        /// Name or id.
        node: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The coordinator's mesh endpoint (mesh.listen of its configuration).
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: String,
    /// The region the token was made for.
    #[arg(long, value_name = "NAME")]
    region: String,
    /// A file with the token; - for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
}

fn load_coordinator(path: &Path) -> Result<CoordinatorConfig> {
    CoordinatorConfig::load(path).map_err(|error| Failure::usage(error.to_string()).into())
}

fn load_node(path: &Path) -> Result<NodeConfig> {
    NodeConfig::load(path).map_err(|error| Failure::usage(error.to_string()).into())
}

/// What a coordinator would run with.
pub(crate) fn check_coordinator(path: &Path) -> Result<Value> {
    let config = load_coordinator(path)?;
    Ok(json!({
        "valid": true,
        "name": config.name,
        "data_dir": config.data_dir,
        "key_file": config.storage.data_key_file(&config.data_dir),
        "mesh": config.mesh.listen,
        "http": config.http.listen,
        "monitoring": config.monitoring.listen,
    }))
}

/// What a node would run with.
pub(crate) fn check_node(path: &Path) -> Result<Value> {
    let config = load_node(path)?;
    Ok(json!({
        "valid": true,
        "name": config.name,
        "data_dir": config.data_dir,
        "key_file": config.storage.data_key_file(&config.data_dir),
        "mesh": config.mesh.listen,
        "http": config.http.listen,
        "monitoring": config.monitoring.listen,
        "sip_trunk": config.sip.trunk_listen,
        "sip_agent": config.sip.agent_listen,
        "rtp_address": config.media.address,
        "rtp_ports": config.media.ports,
    }))
}

pub(crate) async fn coordinator(verb: CoordinatorVerb, session: &Session) -> Result<()> {
    match verb {
        CoordinatorVerb::Run { config } => coordinator::run(load_coordinator(&config)?).await,
        CoordinatorVerb::Voters(settings) => voters::settings(session, &settings).await,
        CoordinatorVerb::Init { config, token_file } => {
            init(session, &load_coordinator(&config)?, token_file.as_deref()).await
        }
    }
}

/// The first token is kept nowhere else: every place it goes to is tried before the mesh is made.
async fn init(
    session: &Session,
    config: &CoordinatorConfig,
    token_file: Option<&Path>,
) -> Result<()> {
    let mut contexts = Contexts::load()?;
    let name = session.context.as_deref().unwrap_or(&config.name);
    if contexts.context.contains_key(name) {
        return Err(Failure::usage(format!(
            "there is a context {name:?} already and its token would be lost; choose another with \
             --context NAME, or forget it with `dialmesh context rm {name}`"
        ))
        .into());
    }
    contexts.save()?;
    let file = token_file.map(SecretFile::create).transpose()?;
    let made = coordinator::init(config, InitOptions::default()).await?;
    if let Some(file) = file {
        file.write(made.admin_token.expose())?;
    }
    let url = made.url.clone();
    contexts.enter(
        name,
        Context {
            url: made.url,
            token: made.admin_token,
        },
    );
    let place = contexts.save()?;
    if session.form() != Form::Table {
        return session.show(&json!({
            "mesh": made.mesh_id.to_string(),
            "url": url,
            "context": name,
            "contexts_file": place,
            "token_file": token_file,
        }));
    }
    session.done(&format!(
        "The mesh {} is made in {}.",
        made.mesh_id,
        config.data_dir.display()
    ))?;
    session.done(&format!(
        "Its first token is in {} as the context {name:?}, now the current one.",
        place.display()
    ))?;
    if let Some(file) = token_file {
        session.done(&format!("It is in {} too.", file.display()))?;
    }
    session.done(&format!(
        "Keep copies of the folder's CA key and of the data key {} apart from it, where no node can reach them.",
        config.storage.data_key_file(&config.data_dir).display()
    ))?;
    session.done("Next: dialmesh coordinator run --config FILE")
}

pub(crate) async fn node(verb: NodeVerb, session: &Session) -> Result<()> {
    match verb {
        NodeVerb::Run { config } => node::run(load_node(&config)?).await,
        NodeVerb::Join(args) => join(session, &args).await,
        NodeVerb::Ls => member::ls(session).await,
        NodeVerb::Show { node } => member::show(session, &node).await,
        NodeVerb::Drain { node } => member::drain(session, &node, true).await,
        NodeVerb::Undrain { node } => member::drain(session, &node, false).await,
        NodeVerb::Remove { node } => member::remove(session, &node).await,
    }
}

async fn join(session: &Session, args: &Join) -> Result<()> {
    let config = load_node(&args.config)?;
    let address = resolve(&args.coordinator)?;
    let token = secrets::read(&args.token_file)?;
    let member = node::join(&config, address, &args.region, &token)
        .await
        .with_context(|| format!("{} has not joined", config.name))?;
    match session.form() {
        Form::Table => session.done(&format!(
            "{} has joined as {member}. Next: dialmesh node run --config {}",
            config.name,
            args.config.display()
        )),
        _ => session.show(&json!({"name": config.name, "member": member})),
    }
}

fn resolve(text: &str) -> Result<SocketAddr> {
    let resolved = text.to_socket_addrs();
    resolved.ok().and_then(|mut found| found.next()).ok_or_else(|| {
        Failure::usage(format!(
            "{text:?} is no address of a coordinator; expected HOST:PORT of its mesh endpoint, such as 192.0.2.1:7401"
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_or_names() {
        assert_eq!(
            resolve("192.0.2.1:7401").unwrap().to_string(),
            "192.0.2.1:7401"
        );
        assert!(
            resolve("192.0.2.1")
                .unwrap_err()
                .to_string()
                .contains("192.0.2.1:7401")
        );
    }

    #[test]
    fn samples_pass_and_faults_are_placed() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/three-cities");
        assert_eq!(
            check_coordinator(&samples.join("coordinator.toml")).unwrap()["valid"],
            true
        );
        for city in ["shenzhen", "shanghai", "beijing"] {
            assert_eq!(
                check_node(&samples.join(city).with_extension("toml")).unwrap()["name"],
                city
            );
        }
        let wrong = check_node(&samples.join("coordinator.toml"))
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("coordinator.toml"), "{wrong}");
    }
}
