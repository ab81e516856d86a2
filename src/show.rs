//! `weir policy`, `identity`, `endpoint` and `map`: what is in force, asked of the agent or of the kernel.

mod tables;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::{Serialize, de::DeserializeOwned};
use weir_control::api::{
    Question, Request, Status, ask,
    shown::{ShownEndpoint, ShownIdentity, ShownPolicy, ShownSelector},
};
use weir_sockmap::{dump, pins::Pins};

use crate::{
    check_policy::check,
    cli::{
        StatusFormat,
        explain::{AskOptions, DumpedMap, EndpointCommand, IdentityCommand, MapCommand, PolicyCommand},
    },
};

/// `weir policy …`
pub async fn policy(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(options) => return check(options),
        PolicyCommand::List(options) => {
            let policies: Vec<ShownPolicy> = answer(options, Question::Policies).await?;
            print(options.output, &policies, tables::policies);
        }
        PolicyCommand::Get { name, ask } => {
            let policies: Vec<ShownPolicy> = answer(ask, Question::Policy(name.clone())).await?;
            if policies.is_empty() {
                bail!("there is no policy {name}; `weir policy list` names them");
            }
            print(ask.output, &policies, tables::policies_in_full);
        }
        PolicyCommand::Selectors(options) => {
            let selectors: Vec<ShownSelector> = answer(options, Question::Selectors).await?;
            print(options.output, &selectors, tables::selectors);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir identity …`
pub async fn identity(command: &IdentityCommand) -> anyhow::Result<ExitCode> {
    let IdentityCommand::List(options) = command;
    let identities: Vec<ShownIdentity> = answer(options, Question::Identities).await?;
    print(options.output, &identities, tables::identities);
    Ok(ExitCode::SUCCESS)
}

/// `weir endpoint …`
pub async fn endpoint(command: &EndpointCommand) -> anyhow::Result<ExitCode> {
    match command {
        EndpointCommand::List(options) => {
            let status: Status = send(options, &Request::Status).await?;
            print(options.output, &status.endpoints, tables::endpoints);
        }
        EndpointCommand::Get { endpoint, ask } => {
            let endpoints: Vec<ShownEndpoint> = answer(ask, Question::Endpoint(endpoint.clone())).await?;
            if endpoints.is_empty() {
                bail!("no pod of this node is {endpoint}; `weir endpoint list` names them");
            }
            print(ask.output, &endpoints, tables::endpoints_in_full);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir map …`
pub fn map(command: &MapCommand) -> anyhow::Result<()> {
    let MapCommand::Dump { map, node, output } = command;
    let dump = dump::read(&Pins::new(&node.bpf_dir))
        .with_context(|| format!("read the maps in {}; does a weir use this --bpf-dir?", node.bpf_dir.display()))?;
    match map {
        DumpedMap::Addresses => print(*output, &dump.addresses, tables::addresses),
        DumpedMap::Endpoints => print(*output, &dump.endpoints, tables::slots),
        DumpedMap::Policy => print(*output, &dump.policy, tables::policy),
        DumpedMap::Flows => print(*output, &dump.flows, tables::flows),
    }
    Ok(())
}

async fn answer<T: DeserializeOwned>(options: &AskOptions, question: Question) -> anyhow::Result<T> {
    send(options, &Request::Show(question)).await
}

async fn send<T: DeserializeOwned>(options: &AskOptions, request: &Request) -> anyhow::Result<T> {
    let socket = options.node.api_socket();
    async { ask(&socket, request).await?.value().await }
        .await
        .with_context(|| format!("ask the agent at {}; is it running, with this --run-dir?", socket.display()))
}

fn print<T: Serialize>(output: StatusFormat, list: &[T], text: fn(&[T]) -> String) {
    match output {
        StatusFormat::Text => print!("{}", text(list)),
        StatusFormat::Json => println!("{}", serde_json::to_string_pretty(list).unwrap_or_default()),
    }
}
