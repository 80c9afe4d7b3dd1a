//! What was meant becomes the right number: sentiment, resolution and the lists that are heard by meaning.
//!
//! Ten short calls are spoken by synthetic voices, recognised, and scored; how each ends is known by construction. The table is
//! printed: `cargo test … --test meaning -- --nocapture`.

use std::fmt::Write as _;

use serde_json::Value;
use sotto_tests::make;
use sotto_tests::process::{self, run, skip};
use sotto_tests::schema::validate;
use sotto_tests::script::Script;
use sotto_tests::site::{Site, config, has_pack};

const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = ["sentiment_customer", "resolution", "keywords"]
detail = ["sentiment_customer"]
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[retention]
scores_days = 7
[[purpose]]
metric = "sentiment_customer"
why = "Find the topics that leave customers unhappy"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "resolution"
why = "See what is left open"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "keywords"
why = "See which topics come up"
basis = "legitimate interest"
review_by = "2099-01-01"
[[category]]
name = "wants to leave"
like = ["I want to cancel my contract.", "Please close my account.", "I am going to another company.", "I will take my business elsewhere."]
unlike = ["I want to cancel the appointment.", "I would like to change my contract."]
heard = "customer"
"#;

/// A call: its name, what customer (`c`) and agent (`a`) say, how the customer's last part feels, whether the matter is settled, and
/// whether he wants to leave.
struct Scene {
    name: &'static str,
    said: &'static [(char, &'static str)],
    ends_well: bool,
    is_resolved: bool,
    leaves: bool,
}

const SCENES: [Scene; 10] = [
    Scene {
        name: "angry, ends well",
        said: &[
            ('a', "Harbor Telecom, how can I help you?"),
            ('c', "I have been without a telephone for a whole week, and nobody helps me. This is terrible service."),
            ('a', "I am very sorry. I can see the fault, and I will repair it from here right now."),
            ('c', "I have heard that three times already. I am really tired of it."),
            ('a', "It is done. Could you please try to make a call?"),
            ('c', "Oh, it works again. That is wonderful, thank you so much for your help."),
            ('a', "I am glad that it works now. Goodbye."),
        ],
        ends_well: true,
        is_resolved: true,
        leaves: false,
    },
    Scene {
        name: "happy throughout",
        said: &[
            ('a', "Good morning, Garden Hotel."),
            ('c', "Good morning. We stayed with you last week, and it was lovely. The breakfast was fantastic."),
            ('a', "How kind of you to call."),
            ('c', "I would like to book the same room again for the spring."),
            ('a', "With pleasure. Your room is booked for the first week of April."),
            ('c', "Perfect, that is great. We are looking forward to it."),
        ],
        ends_well: true,
        is_resolved: true,
        leaves: false,
    },
    Scene {
        name: "not repaired",
        said: &[
            ('a', "Technical support, good afternoon."),
            ('c', "The washing machine that I bought from you leaks, and the kitchen floor is ruined."),
            ('a', "Please turn the filter to the left. Does it still leak?"),
            ('c', "Yes, it still leaks. That did not help at all."),
            ('a', "I am afraid there is nothing more that I can do today. Somebody will call you back."),
            ('c', "That is not good enough. I am very disappointed with your company."),
        ],
        ends_well: false,
        is_resolved: false,
        leaves: false,
    },
    Scene {
        name: "leaves",
        said: &[
            ('a', "Customer service, how can I help?"),
            ('c', "You charged me twice again, and I am sick of it."),
            ('a', "I cannot change the bill from here, I am sorry."),
            ('c', "Then I want to cancel my contract. I will take my business elsewhere."),
            ('a', "I will pass that on to the department."),
            ('c', "Nobody there ever helps me. This is the worst service that I have ever had."),
        ],
        ends_well: false,
        is_resolved: false,
        leaves: true,
    },
    Scene {
        name: "a bill is corrected",
        said: &[
            ('a', "Billing department, good morning."),
            ('c', "There is something wrong with my bill. I was charged for a service that I never ordered."),
            ('a', "You are right. I have corrected your bill, and the money will be returned this week."),
            ('c', "That was quick. I am very happy with that, thank you."),
            ('a', "You are welcome. Is there anything else?"),
            ('c', "No, that is all I needed. Thank you for your help."),
        ],
        ends_well: true,
        is_resolved: true,
        leaves: false,
    },
    Scene {
        name: "good start, bad end",
        said: &[
            ('a', "Good morning, how can I help you?"),
            ('c', "Good morning. I love the new telephone, it is really beautiful."),
            ('a', "Thank you, that is nice to hear."),
            ('c', "I only want to know when the case will be delivered."),
            ('a', "I am sorry, the case is sold out, and we lost your order."),
            ('c', "You lost it? That is really bad. I am very upset, I needed it for a present and now it is too late."),
        ],
        ends_well: false,
        is_resolved: false,
        leaves: false,
    },
    Scene {
        name: "a technician comes",
        said: &[
            ('a', "Heating service, good evening."),
            ('c', "The heating is cold, and we have a small child. It is awful."),
            ('a', "I understand. A technician can be at your house in one hour. Is that all right?"),
            ('c', "In one hour? That is fantastic. You are wonderful."),
            ('a', "He is on his way. Everything is set up for you."),
            ('c', "Thank you so much, I am so relieved."),
        ],
        ends_well: true,
        is_resolved: true,
        leaves: false,
    },
    Scene {
        name: "a refund is refused",
        said: &[
            ('a', "Good afternoon, returns department."),
            ('c', "I sent the shoes back a month ago, and I still have no money."),
            ('a', "The period for returns is over. I cannot refund you."),
            ('c', "That is ridiculous. I sent them on time, and now you keep my money."),
            ('a', "I am sorry, there is nothing that I can do."),
            ('c', "That is a horrible way to treat people. I will file a complaint."),
        ],
        ends_well: false,
        is_resolved: false,
        leaves: false,
    },
    Scene {
        name: "polite and unhappy",
        said: &[
            ('a', "Support, good morning."),
            ('c', "Good morning. The internet is still slow, although you repaired it last week."),
            ('a', "Please start the computer again."),
            ('c', "Thank you, but I have already tried that, and it does not help."),
            ('a', "Then I do not know what else to do."),
            ('c', "Thank you anyway, but that does not solve my problem. It is really frustrating."),
        ],
        ends_well: false,
        is_resolved: false,
        leaves: false,
    },
    Scene {
        name: "not bad at all",
        said: &[
            ('a', "Hello, this is the workshop. Your car is ready."),
            ('c', "I was worried that it would be very expensive."),
            ('a', "It was only a small part. It costs forty dollars."),
            ('c', "That is not bad at all. That is a very fair price."),
            ('a', "You can collect it today."),
            ('c', "Excellent. I cannot thank you enough, you did a great job."),
        ],
        ends_well: true,
        is_resolved: true,
        leaves: false,
    },
];

#[test]
fn ten_calls_end_as_they_were_written() {
    if !process::installed("flite") || !has_pack() {
        return skip("flite is not installed, or the model pack is not built");
    }
    let site = Site::new(&config(None, None), CHARTER).unwrap();
    let mut command = site.sotto().unwrap();
    command.arg("replay");
    for (number, scene) in SCENES.iter().enumerate() {
        let pcap = site.path(&format!("{number}.pcap"));
        make(&Script::parse(&script(number, scene)).unwrap()).unwrap().write_pcap(&pcap).unwrap();
        command.arg(&pcap);
    }
    let text = String::from_utf8(run(&mut command).unwrap().stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scores: Vec<Value> = lines
        .iter()
        .filter(|line| line["topic"].as_str().unwrap().ends_with("call/score"))
        .map(|line| validate(line["topic"].as_str().unwrap(), line["payload"].to_string().as_bytes()).unwrap())
        .collect();
    assert_eq!(scores.len(), SCENES.len());
    let (mut signs, mut settled, mut contradicted, mut lists) = (0, 0, 0, 0);
    println!("call                   start   end    call   resolution   wants to leave   unavailable");
    for (scene, score) in SCENES.iter().zip(&scores) {
        let shown = |field: &str| score[field].to_string();
        println!(
            "{:<22} {:>5} {:>5} {:>6}   {:<12} {:<16} {}",
            scene.name,
            shown("sentiment_start_customer"),
            shown("sentiment_end_customer"),
            shown("sentiment_customer"),
            shown("resolution"),
            shown("category_01"),
            shown("unavailable")
        );
        let end = score["sentiment_end_customer"].as_f64().unwrap_or(0.0);
        signs += usize::from(if scene.ends_well { end > 0.0 } else { end < 0.0 });
        let (right, wrong) = if scene.is_resolved { ("resolved", "unresolved") } else { ("unresolved", "resolved") };
        settled += usize::from(score["resolution"] == right);
        contradicted += usize::from(score["resolution"] == wrong);
        lists += usize::from(score["category_01"] == scene.leaves);
    }
    println!("end sentiment has the right sign in {signs} of 10, resolution is right in {settled} and wrong in {contradicted}, the list in {lists}");
    assert!(signs >= 9, "{signs} of 10 ends have the right sign");
    assert!(settled >= 7 && contradicted <= 1, "resolution right in {settled}, wrong in {contradicted}");
    assert!(lists >= 9, "{lists} of 10");
}

fn script(number: usize, scene: &Scene) -> String {
    let (agent, customer) = [("slt", "rms"), ("rms", "awb"), ("awb", "slt")][number % 3];
    let mut text = format!(
        "seed = {number}\n[[call]]\ndirection = \"inbound\"\ncodec = \"PCMU\"\nagent = {{ uri = \"sip:1001@pbx.example\", voice = \"{agent}\" }}\n\
         customer = {{ uri = \"sip:+12025550101@carrier.example\", voice = \"{customer}\" }}\n"
    );
    for (who, said) in scene.said {
        let who = if *who == 'a' { "agent" } else { "customer" };
        let _ = writeln!(text, "[[call.say]]\nwho = \"{who}\"\ngap_ms = 700\ntext = \"{said}\"");
    }
    text
}
