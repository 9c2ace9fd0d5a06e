// Says that the token was wrong; the form itself needs no script.
document.getElementById("wrong").hidden = !new URLSearchParams(location.search).has("wrong");
