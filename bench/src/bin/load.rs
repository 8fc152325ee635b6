//! A load without any WebSocket library: frames made beforehand, replies checked.

use std::io;

use clap::Parser;
use tokio::runtime::Builder;
use ws_bench::run::Plan;

/// Drives one server through one scenario; see `cargo xtask bench`.
#[derive(Debug, Parser)]
enum Scenario {
    /// Every connection sends and waits.
    Echo(Plan),
    /// Connections that do nothing.
    Idle(Plan),
    /// Connect, shake hands, close.
    Churn(Plan),
    /// One sends, all receive.
    Broadcast(Plan),
}

fn main() -> io::Result<()> {
    let scenario = Scenario::parse();
    let runtime = match scenario.plan().threads.get() {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    };
    runtime?.block_on(async {
        match scenario {
            Scenario::Echo(plan) => plan.echo().await,
            Scenario::Idle(plan) => plan.idle().await,
            Scenario::Churn(plan) => plan.churn().await,
            Scenario::Broadcast(plan) => plan.broadcast().await,
        }
    })
}

impl Scenario {
    const fn plan(&self) -> &Plan {
        match self {
            Self::Echo(plan) | Self::Idle(plan) | Self::Churn(plan) | Self::Broadcast(plan) => plan,
        }
    }
}
