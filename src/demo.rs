//! `weir demo`: a node, three pods, a real web server, the star-wars policies, some calls, and what became of them.

mod calls;
mod stage;

use std::process::ExitCode;

use tokio::time::{Duration, sleep};

use crate::{cli::DemoOptions, signals};
use calls::{CALLS, Outcome};
use stage::Stage;

/// Runs the demo; fails if something else happened than the policies say. Everything is removed at the end, also after
/// Ctrl-C.
pub async fn demo(options: &DemoOptions) -> anyhow::Result<ExitCode> {
    let ended = signals::terminated()?;
    tokio::select! {
        result = play(options) => result,
        () = ended => {
            println!("interrupted; cleaning up");
            // With --keep this is the way it ends.
            Ok(if options.keep { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn play(options: &DemoOptions) -> anyhow::Result<ExitCode> {
    let stage = Stage::build(&options.manifests).await?;
    println!("{}\n", stage.describe());
    let mut seen = Vec::new();
    for call in CALLS {
        let outcome = calls::make(&stage, call).await?;
        println!("{}", outcome.line);
        seen.push((call, outcome));
    }
    println!("\n{:<11} {:<5} {:<6} {:<38} {:<9} SEEN", "WHO", "OVER", "METHOD", "PATH", "EXPECTED");
    let mut wrong = 0;
    for (call, Outcome { seen, .. }) in &seen {
        let mark = if *seen == call.expected { "" } else { "   <-- differs" };
        wrong += usize::from(*seen != call.expected);
        let family = if call.v6 { "IPv6" } else { "IPv4" };
        println!("{:<11} {family:<5} {:<6} {:<38} {:<9} {seen}{mark}", call.who, call.method, call.path, call.expected);
    }
    println!("\n{} of {} calls went as the policies say", CALLS.len() - wrong, CALLS.len());
    if options.keep {
        println!("{}", stage.hints());
        // The interrupt ends this.
        loop {
            sleep(Duration::from_secs(3600)).await;
        }
    }
    stage.end()?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
