/** The login page: says when the token was a wrong one. */
if (location.search === "?wrong") {
  const wrong = document.getElementById("wrong");
  const token = document.getElementById("token");
  if (wrong && token) {
    wrong.hidden = false;
    token.setAttribute("aria-invalid", "true");
    token.setAttribute("aria-describedby", "wrong");
  }
}
