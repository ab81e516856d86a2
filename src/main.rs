//! The weir binary: command line, configuration, wiring; about a screenful per command.
#![forbid(unsafe_code)]

mod admin;
mod agent;
mod check;
mod check_policy;
mod cleanup;
mod cli;
mod demo;
mod explain;
mod flow_log;
mod lock;
mod observe;
mod proxy;
mod run;
mod show;
mod signals;
mod status;
mod view;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use cli::{Cli, Command};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match log(&cli.log).and_then(|()| dispatch(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("--log {filter}"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    // The data path has threads and runtimes of its own; one more is enough for everything else.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Run { agent, proxy } => runtime.block_on(run::run(&agent, &proxy)).map(done),
        Command::Agent { agent } => runtime.block_on(agent::main(&agent)).map(done),
        Command::Proxy { node, proxy } => runtime.block_on(proxy::main(&node, &proxy)).map(done),
        Command::Observe(options) => runtime.block_on(observe::observe(&options)).map(done),
        Command::Status(options) => runtime.block_on(status::status(&options)),
        Command::Policy(command) => runtime.block_on(show::policy(&command)),
        Command::Identity(command) => runtime.block_on(show::identity(&command)),
        Command::Endpoint(command) => runtime.block_on(show::endpoint(&command)),
        Command::Map(command) => show::map(&command).map(done),
        Command::Cleanup { node } => runtime.block_on(cleanup::cleanup(&node)).map(done),
        Command::Demo(options) => runtime.block_on(demo::demo(&options)),
    }
}
