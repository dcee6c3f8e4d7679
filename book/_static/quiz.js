// Shows the explanation of the chosen answer, and counts first choices that are right.
document.addEventListener("DOMContentLoaded", () => {
  for (const quiz of document.querySelectorAll("form.quiz")) {
    const questions = [...quiz.querySelectorAll("fieldset")];
    quiz.addEventListener("submit", (event) => event.preventDefault());
    quiz.addEventListener("change", (event) => {
      const chosen = event.target;
      const question = chosen.closest("fieldset");
      const reason = question.querySelector(`li[data-answer="${chosen.value}"]`);
      const feedback = question.querySelector(".quiz-feedback");
      question.dataset.first ??= chosen.dataset.verdict;
      feedback.dataset.verdict = chosen.dataset.verdict;
      feedback.innerHTML = reason.innerHTML;
      const answered = questions.filter((one) => one.dataset.first);
      const right = answered.filter((one) => one.dataset.first === "right");
      quiz.querySelector(".quiz-score").textContent =
        `${right.length} of ${answered.length} right at the first choice, ${questions.length - answered.length} to go.`;
    });
  }
});
