use super::*;

/// Signed by both; the secret keys are gone.
const CHARTER: &[u8] = b"version = \"1\"\nprofile = \"eu\"\nkpis = []\n[retention]\nscores_days = 7\n";
const EMPLOYER: &str = "RWRFeyPTU6GMmaUJRQ6hcCWuxsmuGyI+5dw5Vh9i+kyLUsULnlZ+9VGX";
const REPRESENTATIVES: &str = "RWR1J2dYcQsYCZezCeASnLyuHAYqfRB5ugFTU69MJ6R43RFdQb+1JZD1";
const BY_EMPLOYER: &str = "untrusted comment: signature from minisign secret key\nRURFeyPTU6GMmT0QZTtDFe7V0qLis+2fVQRkntLnWi9Y+gwZG2VoN7qHQfoto7lsYVnQ3H8tWJdnf/4qwJUls5RsMHm7OIxveg8=\ntrusted comment: Harbor Telecom\nWoUxIKoZIBhTyCD1/W0ccd2UxWc9EyySMblv6fQGhPsbe3tAUzqMQIKjpAcFbvx52LnngHY9HOy0PU4XoktaCA==\n";
const BY_REPRESENTATIVES: &str = "untrusted comment: signature from minisign secret key\nRUR1J2dYcQsYCUJi3f3r/ofY4xAqhRm2qwE3693SisrpJ1xktUoQu3LWKEbmseWzLrmlkMkvRLOt76Mlpgz/iWCxUnbGEasbcgY=\ntrusted comment: Works council\nkev05Dn6btE8lpSGehQD+LCiWm9df3hggu8bPbtbw1lmd2Yvbv8zAqIYh70zW5suwG85oqCCcrPf9fwhK1iaBw==\n";
const BY_STRANGER: &str = "untrusted comment: signature from minisign secret key\nRUQIZ9yp6S9+Gbg/tyiO910DHmS9MvQY01Xl35q0ixFufI9JokletuI25fc7SPbQ8GWvwvfJ/UxH00mYpgt01F1PUzLrwE9GrQA=\ntrusted comment: somebody\nyAJ+aPsIasJkGXqNPL0pM+xQpDCx4WbD58xAnFFmlNEmbfyRX/EmkaKB2QMsC3PVYMEsxackBVP0fbUGA49XDw==\n";

fn keys() -> Keys {
    Keys { employer: Some(EMPLOYER.parse().unwrap()), representatives: Some(REPRESENTATIVES.parse().unwrap()) }
}

#[test]
fn what_both_signed_counts() {
    assert_eq!(keys().verify(CHARTER, [Some(BY_EMPLOYER), Some(BY_REPRESENTATIVES)]), Ok(()));
}

#[test]
fn every_changed_byte_is_seen() {
    for at in 0..CHARTER.len() {
        let mut changed = CHARTER.to_vec();
        changed[at] ^= 1;
        assert_eq!(keys().verify(&changed, [Some(BY_EMPLOYER), Some(BY_REPRESENTATIVES)]), Err(Unsigned::Wrong(Signer::Employer)), "byte {at}");
    }
}

#[test]
fn one_side_is_not_enough() {
    let verify = |employer, representatives| keys().verify(CHARTER, [employer, representatives]).unwrap_err();
    assert_eq!(verify(None, Some(BY_REPRESENTATIVES)), Unsigned::Absent(Signer::Employer));
    assert_eq!(verify(Some(BY_EMPLOYER), None), Unsigned::Absent(Signer::Representatives));
    assert_eq!(verify(Some(BY_EMPLOYER), Some(BY_EMPLOYER)), Unsigned::Wrong(Signer::Representatives), "the employer for both");
    assert_eq!(verify(Some(BY_EMPLOYER), Some(BY_STRANGER)), Unsigned::Wrong(Signer::Representatives));
    assert_eq!(verify(Some("yes"), None), Unsigned::Unreadable(Signer::Employer));
    assert_eq!(Keys::default().verify(CHARTER, [Some(BY_EMPLOYER), None]), Err(Unsigned::NoKey(Signer::Employer)));
    assert_eq!("yes".parse::<Key>(), Err(KeyError));
}
