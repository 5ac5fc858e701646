mountReview(document.querySelector("main"), JSON.parse(document.getElementById("data").textContent));
