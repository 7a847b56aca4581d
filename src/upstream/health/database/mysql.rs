//! The conversation with MySQL and MariaDB: the socket, no decisions.

use super::look::{Look, login_fault};
use super::{DatabaseQuestion, Line};
use crate::codec::mysql::{Conversation, Login, Output};
use crate::upstream::health::{Clock, Phase, Reason};
use crate::upstream::role::Answer;

pub(super) async fn ask(
    question: &DatabaseQuestion,
    mut line: Line,
    written: &str,
    clock: &Clock,
) -> Result<Option<Answer>, Reason> {
    let login =
        Login { user: question.user.to_string(), password: question.password.0.to_vec(), tls: question.tls.is_some() };
    let mut talk = Conversation::new(login, question.max_answer);
    let mut look = None;
    let mut space = [0; 4096];
    let mut phase = Phase::Login;
    loop {
        while let Some(output) = talk.poll_output() {
            match output {
                Output::Send(bytes) => clock.within(phase, line.send(&bytes)).await?.map_err(Reason::Lost)?,
                Output::BeginTls => {
                    if let Some(tls) = &question.tls {
                        line = line.begin_tls(tls, written, clock).await?;
                        talk.tls_began();
                    }
                }
                Output::Ready(greeting) => {
                    phase = Phase::Response;
                    let asked = look.insert(Look::new(greeting, question.observe));
                    talk.query(&asked.query());
                }
                Output::Answered(sets, error) => {
                    clock.within(phase, line.close()).await?;
                    let seen = look.as_ref().map(|look| look.read(&sets, error)).transpose();
                    return seen.map(Option::flatten).map_err(Reason::Database);
                }
            }
        }
        let read = clock.within(phase, line.receive(&mut space)).await?.map_err(Reason::Lost)?;
        talk.handle(&space[..read])
            .map_err(|fault| Reason::Database(login_fault(fault, &question.user, phase == Phase::Login)))?;
    }
}
